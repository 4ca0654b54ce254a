//! Line charts.

use crate::canvas::{Align, Canvas, Colour, Text, palette};

/// A box on a picture, in pixels.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Area {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it; empty for none.
    pub name: &'static str,
    /// Its colour.
    pub colour: Colour,
    /// Its height at x = 1, 2, 3, …; values that are not finite are left out.
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

impl Chart {
    /// Draws the chart with its title, axes and numbers into this area.
    pub fn draw(&self, canvas: &mut Canvas, area: Area) {
        let Area { x, y, width, height } = area;
        canvas.text(x, y, Align::Left, Text::Strong, palette::INK, self.title);
        let mut right = x + width;
        for series in self.series.iter().rev().filter(|series| !series.name.is_empty()) {
            canvas.text(right, y, Align::Right, Text::Strong, series.colour, series.name);
            right -= Text::Strong.width(series.name) + 20;
        }

        let heights = || self.series.iter().flat_map(|series| series.values.iter().copied()).filter(|v| v.is_finite());
        let axis = Axis::over(heights().fold(f64::INFINITY, f64::min), heights().fold(f64::NEG_INFINITY, f64::max), 5);
        let numbers: Vec<String> = axis.ticks().map(|tick| format!("{}{}", axis.show(tick), self.unit)).collect();
        // Charts below one another have one left edge, unless their numbers are long.
        let gutter = numbers.iter().map(|number| Text::Small.width(number)).max().unwrap_or(0).max(40) + 10;
        let plot = Area { x: x + gutter, y: y + 32, width: width - gutter - 8, height: height - 32 - 26 };

        let epochs = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0).max(1);
        let across = |epoch: f64| plot.x as f32 + 0.5 + share(epoch, 1.0, epochs as f64) * plot.width as f32;
        let up =
            |value: f64| (plot.y + plot.height) as f32 + 0.5 - share(value, axis.low, axis.high()) * plot.height as f32;

        for (tick, number) in axis.ticks().zip(&numbers) {
            let level = up(tick) as i32;
            canvas.fill(plot.x, level, plot.width + 1, 1, palette::GRID);
            canvas.text(plot.x - 10, level - 8, Align::Right, Text::Small, palette::MUTED, number);
        }
        let step = Axis::over(1.0, epochs as f64, 10).step.max(1.0) as usize;
        for epoch in (1..=epochs).filter(|epoch| epoch % step == 0 || (*epoch == 1 && step < 3)) {
            let column = across(epoch as f64) as i32;
            canvas.text(
                column,
                plot.y + plot.height + 8,
                Align::Centre,
                Text::Small,
                palette::MUTED,
                &epoch.to_string(),
            );
        }
        for series in &self.series {
            let place =
                |(index, &value): (usize, &f64)| value.is_finite().then(|| (across(index as f64 + 1.0), up(value)));
            let points: Vec<_> = series.values.iter().enumerate().map(place).collect();
            for pair in points.windows(2) {
                if let [Some(from), Some(to)] = *pair {
                    canvas.line(from, to, 2.5, series.colour);
                }
            }
            // Of hundreds of epochs the line alone shows more than dots on it would.
            if points.len() <= 40 {
                points.iter().flatten().for_each(|&point| canvas.disc(point, 4.0, series.colour));
            }
        }
    }
}

/// How far a value lies between two others: 0 to 1. In the middle, where they are the same.
fn share(value: f64, low: f64, high: f64) -> f32 {
    if high > low { ((value - low) / (high - low)) as f32 } else { 0.5 }
}

/// An axis that begins and ends at round numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    low: f64,
    step: f64,
    steps: usize,
    decimals: usize,
}

impl Axis {
    /// An axis that holds these two values and has about so many steps, each of 1, 2 or 5 times a power of ten.
    fn over(low: f64, high: f64, about: usize) -> Self {
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // Values that are all the same get a step's room: a part of their size, so that it does not vanish beside them.
        let span = (high - low).max(1e-6 * high.abs().max(low.abs())).max(1e-9);
        let rough = span / about as f64;
        let power = rough.log10().floor();
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * 10f64.powf(power) >= rough * 0.999);
        let step = factor.unwrap_or(10.0) * 10f64.powf(power);
        let (first, last) = ((low / step + 1e-6).floor(), (high / step - 1e-6).ceil());
        let decimals = (-(step.log10() + 1e-6).floor()).max(0.0) as usize;
        Self { low: first * step, step, steps: (last - first).max(1.0) as usize, decimals }
    }

    fn high(&self) -> f64 {
        self.low + self.step * self.steps as f64
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(|tick| self.low + self.step * tick as f64)
    }

    fn show(&self, value: f64) -> String {
        // A value that rounds to zero from below would be shown as -0.
        let value = if value.abs() < self.step / 2.0 { 0.0 } else { value };
        format!("{value:.*}", self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_begin_and_end_at_round_numbers() {
        let shown = |low, high| {
            let axis = Axis::over(low, high, 5);
            axis.ticks().map(|tick| axis.show(tick)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(88.1, 96.8), "88 90 92 94 96 98");
        assert_eq!(shown(0.02, 0.71), "0.0 0.2 0.4 0.6 0.8");
        assert_eq!(shown(0.0, 1.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(shown(-0.3, 0.3), "-0.4 -0.2 0.0 0.2 0.4");
        assert_eq!(shown(1200.0, 99000.0), "0 20000 40000 60000 80000 100000");
        assert_eq!(shown(f64::INFINITY, f64::NEG_INFINITY), "0.0 0.2 0.4 0.6 0.8 1.0");
    }

    #[test]
    fn an_axis_holds_its_values_and_stays_short() {
        for (low, high) in [(5.0, 5.0), (0.0, 0.0), (-3.0, -3.0), (1e30, 1e30), (1e-12, 2e-12), (0.0, 3.4e38)] {
            let axis = Axis::over(low, high, 5);
            let slack = 1e-5 * axis.step;
            assert!(axis.low <= low + slack && axis.high() >= high - slack, "{axis:?} for {low} to {high}");
            assert!(axis.ticks().count() < 12, "{axis:?} for {low} to {high}");
        }
    }

    #[test]
    fn a_chart_of_anything_is_drawn() {
        let area = Area { x: 10, y: 10, width: 280, height: 180 };
        for values in
            [vec![], vec![f64::NAN], vec![1.0], vec![0.5, f64::INFINITY, 0.25], (0..500).map(f64::from).collect()]
        {
            let mut canvas = Canvas::new(300, 200, palette::PAPER);
            let series = Series { name: "line", colour: palette::BLUE, values };
            Chart { title: "Title", unit: "%", series: vec![series] }.draw(&mut canvas, area);
        }
    }

    #[test]
    fn a_line_stands_where_its_values_are() {
        let mut canvas = Canvas::new(400, 300, palette::PAPER);
        let series = Series { name: "", colour: palette::BLUE, values: vec![0.0, 0.0] };
        let other = Series { name: "", colour: palette::RED, values: vec![1.0, 1.0] };
        let area = Area { x: 0, y: 0, width: 400, height: 300 };
        Chart { title: "", unit: "", series: vec![series, other] }.draw(&mut canvas, area);
        let column: Vec<_> = (0..300).filter_map(|y| canvas.get(200, y)).collect();
        let find = |colour| column.iter().position(|&found| found == colour);
        assert_eq!((find(palette::RED), find(palette::BLUE)), (Some(32), Some(274)));
    }
}
