//! Line charts over epochs.

use std::ops::Range;

use plotters::data::float::FloatPrettyPrinter;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::picture::{Area, Drawn, Text, palette};

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it; empty for none.
    pub name: &'static str,
    /// Its colour.
    pub colour: RGBColor,
    /// Its height in epoch 1, 2, 3, …; values that are not finite are left out.
    pub values: Vec<f64>,
}

/// Lines over epochs.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What is shown.
    pub title: &'static str,
    /// The unit behind the numbers of the vertical axis.
    pub unit: &'static str,
    /// The lines.
    pub series: Vec<Series>,
}

/// Of more epochs the line alone shows more than dots on it would.
const DOTS: usize = 40;

impl Chart {
    /// Draws the chart with its title, axes and numbers.
    ///
    /// # Errors
    ///
    /// What the backend refuses.
    pub fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        area.draw_text(self.title, &Text::Strong.style(palette::INK, HPos::Left), (0, 0))?;
        let epochs = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let across = if epochs < 2 { 0..2 } else { 1..epochs as u32 };
        let up = span(self.series.iter().flat_map(|series| series.values.iter().copied()));
        let mut chart = ChartBuilder::on(area)
            .margin_top(34)
            .margin_right(8)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(across, up)?;
        let number = FloatPrettyPrinter { allow_scientific: true, min_decimal: 0, max_decimal: 6 };
        let numbers = Text::Small.style(palette::MUTED, HPos::Center);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(palette::PAPER)
            .bold_line_style(palette::GRID)
            .axis_style(palette::GRID)
            .label_style(numbers)
            .y_labels(6)
            .y_label_formatter(&|value| format!("{}{}", number.print(*value), self.unit))
            .draw()?;
        for Series { name, colour, values } in &self.series {
            let points: Vec<(u32, f64)> = (1..).zip(values.iter().copied()).collect();
            let dots = if points.len() > DOTS { 0 } else { 4 };
            let style = colour.filled().stroke_width(3);
            // What is not finite is a gap.
            for (part, run) in points.split(|(_, value)| !value.is_finite()).enumerate() {
                let line = chart.draw_series(LineSeries::new(run.iter().copied(), style).point_size(dots))?;
                if part == 0 && !name.is_empty() {
                    line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
                }
            }
        }
        if self.series.iter().any(|series| !series.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(palette::PAPER)
                .label_font(Text::Small.style(palette::INK, HPos::Left))
                .draw()?;
        }
        Ok(())
    }
}

/// The values that an axis shows: those that are finite, with a little room, or 0 to 1 where there are none.
fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let ends = values.filter(|value| value.is_finite()).fold(None, |ends: Option<(f64, f64)>, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    let Some((low, high)) = ends else { return 0.0..1.0 };
    // Values that are all the same get a part of their size, so that it does not vanish beside them.
    let room = (0.06 * (high - low)).max(1e-6 * high.abs().max(low.abs())).max(1e-9);
    low - room..high + room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Format, Picture};

    impl Picture for Chart {
        fn size(&self) -> (u32, u32) {
            (400, 300)
        }

        fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
            Chart::draw(self, area)
        }
    }

    #[test]
    fn an_axis_holds_its_values_and_has_room() {
        for (low, high) in [(5.0, 5.0), (0.0, 0.0), (-3.0, -3.0), (1e30, 1e30), (1e-12, 2e-12), (0.0, 3.4e38)] {
            let span = span([high, f64::NAN, low].into_iter());
            assert!(span.start < low && span.end > high, "{span:?} for {low} to {high}");
        }
        assert_eq!(span([f64::NAN, f64::INFINITY].into_iter()), 0.0..1.0);
    }

    #[test]
    fn a_chart_of_anything_is_drawn() {
        for values in
            [vec![], vec![f64::NAN], vec![1.0], vec![0.5, f64::INFINITY, 0.25], (0..500).map(f64::from).collect()]
        {
            let series = Series { name: "line", colour: palette::BLUE, values };
            let chart = Chart { title: "Title", unit: "%", series: vec![series] };
            for format in [Format::Png, Format::Svg] {
                assert!(chart.encode(format).is_ok());
            }
        }
    }

    #[test]
    fn a_line_stands_where_its_values_are() {
        let constant = |colour, value| Series { name: "", colour, values: vec![value; 2] };
        let series = vec![constant(palette::BLUE, 0.0), constant(palette::RED, 1.0)];
        let bytes = Chart { title: "", unit: "", series }.encode(Format::Png).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        let row = |colour: RGBColor| (0..300).find(|&y| picture.get_pixel(230, y).0 == [colour.0, colour.1, colour.2]);
        // The plot is from row 34 to row 266, and a share of 0.06 / 1.12 of it is room.
        let (upper, lower) = (row(palette::RED).unwrap(), row(palette::BLUE).unwrap());
        assert!(upper.abs_diff(34 + 12) < 4 && lower.abs_diff(266 - 12) < 4, "{upper} {lower}");
    }
}
