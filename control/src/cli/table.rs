//! Columns, aligned. Every character that we print is one column wide.

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows of cells under a header.
#[derive(Debug)]
pub(super) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Header cells; a `>` in front aligns the column to the right.
    pub(super) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
        let (align, row) = header
            .into_iter()
            .map(|cell| match cell.strip_prefix('>') {
                Some(cell) => (Align::Right, cell.to_owned()),
                None => (Align::Left, cell.to_owned()),
            })
            .unzip();
        Table { align, rows: vec![row] }
    }

    /// As many cells as the header has.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// Lines with `indent` spaces in front, two between columns, none at the end.
    pub(super) fn lines(&self, indent: usize) -> String {
        let width = |cell: &String| cell.chars().count();
        let column = |index| self.rows.iter().filter_map(|row| row.get(index)).map(width).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.align.len()).map(column).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for ((cell, align), width) in row.iter().zip(&self.align).zip(&widths) {
                match align {
                    Align::Left => line += &format!("{cell:width$}  "),
                    Align::Right => line += &format!("{cell:>width$}  "),
                }
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}
