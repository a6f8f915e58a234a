use image::{Rgb, RgbImage, imageops};

use crate::ArrayDataset;

/// Pixels between the pictures of a sheet.
const GAP: u32 = 2;
const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);
/// Small pictures are enlarged to at least this side.
const SMALLEST_SIDE: u32 = 32;

/// A sheet with one row of up to `columns` pictures for each of the first `max_classes` classes that have any; `None`
/// where the rows are no pictures (`[1 or 3, height, width]`) or the targets no classes.
///
/// Values are taken as `0..=1`.
pub fn contact_sheet(data: &ArrayDataset, columns: usize, max_classes: usize) -> Option<RgbImage> {
    let &[channels @ (1 | 3), height, width] = data.input_shape() else { return None };
    if !data.is_classification() || data.is_empty() || columns == 0 || max_classes == 0 {
        return None;
    }
    let mut shown: Vec<Vec<usize>> = vec![Vec::new(); data.num_classes()];
    for row in 0..data.len() {
        let class = &mut shown[data.label(row)];
        if class.len() < columns {
            class.push(row);
        }
    }
    shown.retain(|rows| !rows.is_empty());
    shown.truncate(max_classes);
    let zoom = SMALLEST_SIDE.div_ceil(width.max(height).max(1) as u32).max(1);
    let (cell_width, cell_height) = (width as u32 * zoom, height as u32 * zoom);
    let across = shown.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let mut sheet = RgbImage::from_pixel(
        across * (cell_width + GAP) + GAP,
        shown.len() as u32 * (cell_height + GAP) + GAP,
        BACKGROUND,
    );
    for (down, rows) in shown.iter().enumerate() {
        for (right, &row) in rows.iter().enumerate() {
            let picture = picture(data.row(row), channels, height, width);
            let picture = imageops::resize(&picture, cell_width, cell_height, imageops::FilterType::Nearest);
            let x = GAP + right as u32 * (cell_width + GAP);
            let y = GAP + down as u32 * (cell_height + GAP);
            imageops::replace(&mut sheet, &picture, i64::from(x), i64::from(y));
        }
    }
    Some(sheet)
}

fn picture(values: &[f32], channels: usize, height: usize, width: usize) -> RgbImage {
    let pixels = height * width;
    let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        let colour = |channel: usize| byte(values[if channels == 3 { channel * pixels + at } else { at }]);
        Rgb([colour(0), colour(1), colour(2)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataDir, OpenOptions, open};

    #[test]
    fn a_sheet_has_a_row_for_each_class_and_tables_have_none() {
        let splits = open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap();
        let sheet = contact_sheet(&splits.train, 12, 10).unwrap();
        assert_eq!(sheet.dimensions(), (12 * 34 + 2, 10 * 34 + 2));
        let ink = Rgb([255, 255, 255]);
        assert!(sheet.pixels().any(|&pixel| pixel != ink));
        let targets = crate::Targets::Classes { labels: vec![0], names: vec!["a".into()] };
        assert!(contact_sheet(&ArrayDataset::new(vec![0.0], vec![1], targets).unwrap(), 2, 2).is_none());
    }
}
