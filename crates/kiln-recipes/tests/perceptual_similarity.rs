//! The reproduction of perceptual similarity at its smallest scale.

use kiln_data::DataDir;
use kiln_lab::{AnyRecipe, Finding, LabError, Outcome, Run, RunOptions, Scale, Verdict};
use kiln_recipes::loss::PerceptualSimilarityRecipe;

fn perform(options: &RunOptions) -> Result<(Run, Verdict), LabError> {
    let mut run = Run::create(&PerceptualSimilarityRecipe, &RunOptions { show_progress: false, ..options.clone() })?;
    let verdict = run.execute(&PerceptualSimilarityRecipe)?;
    Ok((run, verdict))
}

fn options(folder: &std::path::Path) -> RunOptions {
    RunOptions::new(Scale::Smoke, folder, DataDir::find(None))
}

fn finding<'a>(verdict: &'a Verdict, id: &str) -> &'a Finding {
    verdict.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no finding {id}"))
}

#[test]
fn the_smallest_run_reports_every_finding_and_draws_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let (run, verdict) = perform(&options(folder.path())).unwrap();
    let reported: Vec<String> = verdict.findings.iter().map(|finding| finding.id.clone()).collect();
    assert_eq!(reported, AnyRecipe::finding_ids(&PerceptualSimilarityRecipe, run.settings()).unwrap());

    // At this size the claims need not hold, but every loss has been trained and judged on both seeds.
    for measure in ["ms-ssim", "gmsd", "fine-detail"] {
        let found = &finding(&verdict, &format!("autoencoders/autoencoder/{measure}")).measured.text;
        assert!(["mse ", "mae ", "ms-ssim "].iter().all(|name| found.contains(name)), "{found}");
        assert!(found.contains("of 2 seeds") && !found.contains("NaN"), "{found}");
    }
    // A network is best at what it was trained for. A loss that is not the one it is called has a price of exactly nothing;
    // at this size seeds are 3 dB apart, and the last bits of a sum move a mean of two by one.
    let price = finding(&verdict, "autoencoders/autoencoder/price").measured.mean.unwrap();
    assert!(price > 0.5, "MS-SSIM has {price} dB less than the squared error");

    let artifacts = run.artifacts();
    for picture in [
        "reconstructions-autoencoder",
        "contrast-autoencoder",
        "best-to-worst-autoencoder",
        "photographs-x2",
        "reconstructions-vae",
        "rate-over-weight",
    ] {
        assert!(artifacts.join(format!("{picture}.svg")).is_file(), "{picture}");
    }
    let table =
        run.record().tables.iter().find(|table| table.title.contains("photographs made 2 times smaller")).unwrap();
    assert_eq!(table.rows[0][0], "bicubic");

    // Where the codes carry other nats than was wanted, nothing that compares their images is decided.
    let matched = finding(&verdict, "vae/matched");
    let decided = matches!(finding(&verdict, "vae/gmsd").outcome, Outcome::Held | Outcome::NotHeld);
    assert_eq!(matched.outcome == Outcome::Held, decided, "{}", matched.measured);
    let codes = &finding(&verdict, "codes/digits/reconstructions");
    assert!(codes.note.starts_with("on the originals ") && codes.measured.text.contains("ms-ssim "), "{codes:?}");
    let correlation = finding(&verdict, "autoencoders/autoencoder/contrast").measured.mean.unwrap();
    assert!((-1.0..=1.0).contains(&correlation), "{correlation}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (wrong, part) in [
        ("batch_size=0", "batch_size"),
        ("super_resolution.factors=[5]", "2, 3 or 4"),
        ("photographs=[\"photos/camera.png\"]", "at least 2"),
        ("photographs=[\"photos/camera.png\", \"photos/camera.png\"]", "photos/camera.png twice"),
        ("validation_photograph=\"photos/camera.png\"", "none of `photographs`"),
        ("vae.rates=[]", "vae.rates"),
        ("vae.nats=-1.0", "vae.nats"),
        ("codes.model=\"autoencode\"", "did you mean"),
        ("autoencoders.patch=8", "autoencoders.patch"),
    ] {
        let mut options = options(folder.path());
        options.overrides = vec![wrong.into()];
        let error = perform(&options).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{wrong}: {error}");
    }
}

#[test]
fn a_photograph_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.parts = vec!["super-resolution".into()];
    options.overrides = vec!["photographs=[\"photos/camera.png\", \"photos/nobody.png\"]".into()];
    let error = perform(&options).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("nobody.png"), "{error}");
}
