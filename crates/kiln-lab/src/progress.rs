//! Live progress on the terminal; silent when standard error is none.

use std::{io::IsTerminal, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars of a run: one for the whole grid, one for each job that runs.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: MultiProgress,
    colour: bool,
}

impl Progress {
    /// Bars on standard error where that is a terminal; without colour where `NO_COLOR` is set.
    pub fn terminal() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::hidden();
        }
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { bars: MultiProgress::new(), colour }
    }

    /// No bars.
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), colour: false }
    }

    /// The bar over all jobs of a part.
    pub fn total(&self, part: &str, jobs: usize) -> Bar {
        let template = "{prefix:24} {bar:30} {pos}/{len} jobs, {elapsed} gone, {eta} left";
        let bar = self.bars.add(ProgressBar::new(jobs as u64));
        bar.set_style(self.style(template));
        bar.set_prefix(part.to_string());
        bar.enable_steady_tick(Duration::from_millis(500));
        Bar { bar }
    }

    /// The bar of one job.
    pub fn job(&self, name: &str) -> Bar {
        let bar = self.bars.add(ProgressBar::new(0));
        bar.set_style(self.style("  {prefix:22} {bar:30} step {pos}/{len}, loss {msg}, {per_sec}, {eta} left"));
        bar.set_prefix(name.to_string());
        Bar { bar }
    }

    /// Prints a line above the bars, to standard error.
    pub fn line(&self, text: &str) {
        if self.bars.is_hidden() {
            return;
        }
        // A terminal that went away loses the line, as it loses the bars.
        let _ = self.bars.println(text);
    }

    fn style(&self, template: &str) -> ProgressStyle {
        let template =
            if self.colour { template.replace("{bar:30}", "{bar:30.cyan/dim}") } else { template.to_string() };
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
    }
}

/// One bar; it goes away when dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// One more job is done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// `done` of `total` steps are done, and the loss is `loss`.
    pub fn set(&self, done: u64, total: u64, loss: f64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(crate::statistics::figure(loss));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
