//! Tables, written once and shown in a terminal, in Markdown, in HTML and as CSV.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Width, presets};
use serde::{Deserialize, Serialize};

/// A table of text with a title.
///
/// ```
/// use kiln_lab::Table;
///
/// let table = Table::new("Speed", ["layer", "ms"]).row(["dense", "12.5"]);
/// assert_eq!(table.markdown(), "| layer | ms |\n|---|---:|\n| dense | 12.5 |\n");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    /// What the table shows.
    pub title: String,
    /// Column headings.
    pub headings: Vec<String>,
    /// Rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { title: title.into(), headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row has not one cell a heading.
    pub fn row(mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.push(cells);
        self
    }

    /// Adds a row in place.
    ///
    /// # Panics
    /// When the row has not one cell a heading.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.headings.len(), "a row of table `{}` needs one cell a heading", self.title);
        self.rows.push(cells);
    }

    /// For a terminal, fitted to its width.
    pub fn terminal(&self) -> String {
        /// What a file or a pipe gets, which has no width of its own.
        const WIDTH: u16 = 120;
        let mut table = comfy_table::Table::new();
        // Rows of one line need no rule between them.
        let style = presets::UTF8_HORIZONTAL_ONLY;
        let style = if self.has_long_cells() { style } else { style.row_separator(LineStyle::none()) };
        table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(WIDTH);
        }
        table.set_header(&self.headings);
        for row in &self.rows {
            table.add_row(row);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(self.narrowest(index))));
            if self.is_numeric(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }

    /// Width in which no usual word or number of a column is broken, its margins included.
    fn narrowest(&self, column: usize) -> u16 {
        const USUAL_WORD: usize = 14;
        const MARGINS: usize = 2;
        let cells = self.rows.iter().map(|row| &row[column]).chain([&self.headings[column]]);
        let words = cells.flat_map(|cell| cell.split_whitespace()).map(|word| word.chars().count());
        (words.filter(|&len| len <= USUAL_WORD).max().unwrap_or(1) + MARGINS) as u16
    }

    /// As Markdown, numbers to the right.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = |column| if self.is_numeric(column) { "---:" } else { "---" };
        let rules: Vec<&str> = (0..self.headings.len()).map(rule).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}|{}|\n{rows}", line(&self.headings), rules.join("|"))
    }

    /// As an HTML table with a caption.
    pub fn html(&self) -> String {
        let cell = |tag: &str, column: usize, text: &str| {
            let class = if self.is_numeric(column) { " class=\"number\"" } else { "" };
            format!("<{tag}{class}>{}</{tag}>", escape_html(text))
        };
        let line = |tag: &str, cells: &[String]| {
            let cells: String = cells.iter().enumerate().map(|(column, text)| cell(tag, column, text)).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!(
            "<table>\n<caption>{}</caption>\n<thead>{}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
            escape_html(&self.title),
            line("th", &self.headings)
        )
    }

    /// As CSV with a header line, by RFC 4180.
    pub fn csv(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escape_csv(cell)).collect();
            cells.join(",") + "\n"
        };
        std::iter::once(&self.headings).chain(&self.rows).map(|row| line(row)).collect()
    }

    fn has_long_cells(&self) -> bool {
        /// Cells that a terminal may have to wrap.
        const LONG: usize = 40;
        self.rows.iter().flatten().any(|cell| cell.chars().count() > LONG)
    }

    /// Whether every cell is a number, which may have a spread or a unit; a list of counts in words is none.
    fn is_numeric(&self, column: usize) -> bool {
        let starts_as_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let number = |text: &str| starts_as_number(text) && text.len() > 1 && !text.contains(", ");
        !self.rows.is_empty() && self.rows.iter().all(|row| number(&row[column]) || row[column].parse::<f64>().is_ok())
    }
}

/// Text in which nothing is markup: `&`, `<`, `>` and quotes are escaped.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn escape_csv(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new("a < b", ["name", "value"]).row(["x|y, \"z\"", "1.5"]).row(["plain", "-2"])
    }

    #[test]
    fn markup_is_escaped_everywhere() {
        assert!(table().markdown().contains("x\\|y"));
        assert!(table().html().contains("<caption>a &lt; b</caption>"));
        assert_eq!(table().csv(), "name,value\n\"x|y, \"\"z\"\"\",1.5\nplain,-2\n");
    }

    #[test]
    fn a_narrow_terminal_breaks_no_number() {
        let headings: Vec<String> = (0..12).map(|column| format!("k = {column}")).collect();
        let cells: Vec<String> = (0..12).map(|column| format!("0.{column:02}129 +/- 0.00081")).collect();
        let shown = Table::new("wide", headings).row(cells.clone()).terminal();
        for word in cells.iter().flat_map(|cell| cell.split_whitespace()) {
            assert!(shown.split_whitespace().any(|shown| shown == word), "{word} in\n{shown}");
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        assert!(table().markdown().contains("|---|---:|"));
        let counts = Table::new("verdicts", ["verdict"]).row(["16 held, 2 not held"]).row(["5 held"]);
        assert!(counts.markdown().contains("|---|\n"));
        assert!(table().html().contains("<td class=\"number\">-2</td>"));
    }
}
