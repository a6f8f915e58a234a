//! `kiln show`: what a method, a loss, an optimizer, a model or any other name of `kiln train` is, and what can be set.

use std::path::PathBuf;
use std::process::ExitCode;

use kiln_lab::probe::PROBES;
use kiln_lab::train::{
    AUGMENTATIONS, AUTOENCODERS, BAG_LOSSES, IMAGE_LOSSES, LANGUAGE_MODELS, LOSSES, MODELS, OPTIMIZERS, OUTPUT_LAYERS,
    REGRESSION_LOSSES, Registry, SCHEDULES, Selector, UPSCALERS, loss_pictures,
};
use kiln_lab::{AnyRecipe, LabError, Scale, Table, ledger};
use kiln_recipes::catalogue::{self, RECIPES};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::{print, print_line};

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln show comp-sum\n  kiln show cosine\n  kiln show z-loss --markdown\n  \
                        kiln show cross-entropy,focal:gamma=5,mae --plot")]
pub struct ShowArgs {
    /// Name of a method, a loss, an optimizer, a model, an output layer, a schedule, an augmentation or a probe; with --plot,
    /// losses as NAME or NAME:key=value, joined by commas
    #[arg(value_name = "NAME")]
    name: String,
    /// Draw the losses and their slopes over the margin of two classes or the error of a number, and each loss on classes over
    /// the logits of three
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    plot: bool,
    /// Folder for the pictures of --plot
    #[arg(long, value_name = "DIR", default_value = ".", requires = "plot")]
    out: PathBuf,
    /// Print the recorded verdict of a method in Markdown, as in the book
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Prints everything that has the name.
pub fn run(args: ShowArgs, global: &Global) -> CommandResult {
    if args.markdown {
        return recorded(&args.name);
    }
    if args.plot {
        return plot(&args);
    }
    let recipe = catalogue::find(&args.name);
    let everything = components();
    if recipe.is_none() && everything.iter().all(|component| component.name != args.name) {
        let methods = RECIPES.iter().map(|recipe| recipe.card().id);
        let known: Vec<&str> = methods.chain(everything.iter().map(|component| component.name)).collect();
        return Err(LabError::unknown("name", &args.name, known).into());
    }
    let components: Vec<Component> = everything.into_iter().filter(|component| component.name == args.name).collect();
    if global.json {
        let method = recipe.map(method_json).transpose()?;
        let components: Vec<Value> = components.iter().map(Component::json).collect();
        print_line(&json!({ "method": method, "components": components }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut sections = Vec::new();
    sections.extend(recipe.map(method_text).transpose()?);
    sections.extend(components.iter().map(Component::text));
    print_line(&sections.join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn recorded(name: &str) -> CommandResult {
    let recipe = catalogue::find(name)
        .ok_or_else(|| LabError::unknown("method", name, RECIPES.iter().map(|recipe| recipe.card().id)))?;
    match ledger::Entry::read(&ledger::folder(), recipe.card().id)? {
        Some(entry) => print(&entry.markdown())?,
        None => print(&format!("Not recorded yet: `kiln reproduce {name} --full --record` measures it.\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn plot(args: &ShowArgs) -> CommandResult {
    let losses = Selector::list(&args.name).map_err(LabError::from)?;
    let Some(first) = losses.first() else { return Err(Failure::usage("no loss to draw")) };
    for (name, plot) in loss_pictures(&losses).map_err(LabError::from)? {
        let path = args.out.join(format!("{}-{name}.png", first.name()));
        plot.write(&path)?;
        print_line(&format!("picture: {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A name that `kiln train` takes.
struct Component {
    kind: &'static str,
    /// The flag that takes it, with data that it suits.
    flag: &'static str,
    name: &'static str,
    summary: &'static str,
    settings: Vec<[&'static str; 3]>,
}

/// Everything that `kiln train` knows by name.
fn components() -> Vec<Component> {
    let mut all = of_registry(&LOSSES, "--data digits --loss");
    all.extend(of_registry(&REGRESSION_LOSSES, "--data bikeshare --loss"));
    all.extend(of_registry(&IMAGE_LOSSES, "--task autoencode --data digits --loss"));
    all.extend(of_registry(&BAG_LOSSES, "--data means.csv --bags bag --loss"));
    all.extend(of_registry(&OPTIMIZERS, "--data digits --optimizer"));
    all.extend(of_registry(&MODELS, "--data digits --model"));
    all.extend(of_registry(&LANGUAGE_MODELS, "--data austen --model"));
    all.extend(of_registry(&AUTOENCODERS, "--task autoencode --data digits --model"));
    all.extend(of_registry(&UPSCALERS, "--task upscale --data fashion-mnist --model"));
    all.extend(of_registry(&OUTPUT_LAYERS, "--data austen --output-layer"));
    all.extend(of_registry(&SCHEDULES, "--data digits --schedule"));
    all.extend(of_registry(&AUGMENTATIONS, "--data digits --augment"));
    let probe = |(name, summary): &(&'static str, &'static str)| Component {
        kind: "probe",
        flag: "--data digits --watch",
        name,
        summary,
        settings: Vec::new(),
    };
    all.extend(PROBES.iter().map(probe));
    all
}

fn of_registry<T>(registry: &Registry<T>, flag: &'static str) -> Vec<Component> {
    let component = |entry: &kiln_lab::train::Entry<T>| {
        let settings = entry.settings.iter().map(|setting| [setting.key, setting.default, setting.about]).collect();
        Component { kind: registry.kind, flag, name: entry.name, summary: entry.summary, settings }
    };
    registry.entries.iter().map(component).collect()
}

impl Component {
    fn text(&self) -> String {
        let mut text = format!("{} {}: {}", self.kind, self.name, self.summary);
        let mut selector = self.name.to_string();
        if let Some([key, default, _]) = self.settings.first() {
            let mut table = Table::new("Settings", ["setting", "default", "what it does"]);
            self.settings.iter().for_each(|setting| table.push(*setting));
            text.push_str(&format!("\n{}", table.terminal()));
            selector.push_str(&format!(":{key}={default}"));
        }
        text + &format!("\nuse: kiln train {} {selector}", self.flag)
    }

    fn json(&self) -> Value {
        let setting = |[key, default, about]: &[&str; 3]| json!({ "key": key, "default": default, "about": about });
        let settings: Vec<Value> = self.settings.iter().map(setting).collect();
        json!({ "kind": self.kind, "name": self.name, "summary": self.summary, "settings": settings })
    }
}

fn method_json(recipe: &dyn AnyRecipe) -> Result<Value, LabError> {
    let card = recipe.card();
    Ok(json!({
        "card": card,
        "parts": recipe.parts(),
        "quick": recipe.settings_table(Scale::Quick)?,
        "full": recipe.settings_table(Scale::Full)?,
        "recorded": ledger::Entry::read(&ledger::folder(), card.id)?,
    }))
}

fn method_text(recipe: &dyn AnyRecipe) -> Result<String, LabError> {
    let card = recipe.card();
    let mut lines = vec![
        format!("{}: {}", card.id, card.summary),
        String::new(),
        format!("paper    {}", card.title),
        format!("         {}", card.citation()),
    ];
    lines.extend(card.url().map(|url| format!("         {url}")));
    lines.push(format!("claim    {}", card.claim));
    lines.push(format!("family   {}", card.family));
    lines.push(format!("types    {}", card.types.join(", ")));
    if !recipe.parts().is_empty() {
        lines.push(format!("parts    {} (--only PART)", recipe.parts().join(", ")));
    }
    let (quick, full) = (recipe.settings_table(Scale::Quick)?, recipe.settings_table(Scale::Full)?);
    let mut table = Table::new("Settings", ["setting (--set)", "quick", "full"]);
    for key in kiln_lab::settings::keys(&full) {
        let value = |table: &toml::Table| {
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| table.get(part));
            parts.fold(first, |value, part| value?.get(part)).map_or_else(|| "-".to_string(), ToString::to_string)
        };
        table.push([key.clone(), value(&quick), value(&full)]);
    }
    lines.push(String::new());
    lines.push(table.terminal());
    if let Some(entry) = ledger::Entry::read(&ledger::folder(), card.id)? {
        lines.push(String::new());
        lines.push(entry.origin());
        lines.push(ledger::findings_table("Verdict", &entry.verdict()).terminal());
    }
    Ok(lines.join("\n"))
}
