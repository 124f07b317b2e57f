//! A chart as SVG: lines over a logarithmic axis, with the samples' range at every point. No fonts are needed to make it.

use anyhow::anyhow;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use crate::suite::Chart;

const SIZE: (u32, u32) = (860, 460);
/// Told apart without red and green (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
    RGBColor(240, 228, 66),
];
/// Of the lines that have a colour for the second time: dashes, and what is between them.
const DASHES: [u32; 2] = [6, 4];

/// The whole file.
pub fn svg(chart: &Chart) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(chart, &mut text).map_err(|error| anyhow!("{}: cannot be drawn: {error}", chart.title))?;
    Ok(text + "\n")
}

fn draw(chart: &Chart, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let (left, right) = points().fold((f64::MAX, f64::MIN), |(l, r), (x, _)| (l.min(*x), r.max(*x)));
    let top = points().fold(0f64, |top, (_, value)| top.max(value.high));
    let mut axes = ChartBuilder::on(&area)
        .caption(&chart.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((left / 1.3..right * 1.3).log_scale(), 0.0..top * 1.1)?;
    let label = |x: &f64| match *x {
        x if x >= 1e6 => format!("{} M", x / 1e6),
        x if x >= 1e3 => format!("{} k", x / 1e3),
        x => format!("{x}"),
    };
    axes.configure_mesh().x_desc(&chart.x).y_desc(&chart.y).x_label_formatter(&label).draw()?;
    for (at, (series, colour)) in chart.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let line = series.points.iter().map(|(x, value)| (*x, value.median));
        let style = colour.stroke_width(2);
        let [dash, gap] = DASHES;
        let drawn = match at < COLOURS.len() {
            true => axes.draw_series(LineSeries::new(line, style).point_size(3))?,
            false => axes.draw_series(DashedLineSeries::new(line, dash, gap, style))?,
        };
        drawn.label(&series.name).legend(move |(x, y)| match at < COLOURS.len() {
            true => PathElement::new([(x, y), (x + 18, y)], style).into_dyn(),
            false => DashedPathElement::new([(x, y), (x + 18, y)], dash, gap, style).into_dyn(),
        });
        let ranges = series
            .points
            .iter()
            .map(|(x, value)| PathElement::new([(*x, value.low), (*x, value.high)], colour.stroke_width(1)));
        axes.draw_series(ranges)?;
    }
    axes.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::race::Spread;
    use crate::suite::{Chart, Series};

    #[test]
    fn a_chart_has_its_words_and_its_series() {
        let value = Spread { median: 2.0, low: 1.0, high: 3.0 };
        let series = |name: &str| Series { name: name.into(), points: vec![(1e3, value), (1e6, value)] };
        let chart = Chart {
            title: "a title".into(),
            x: "flows".into(),
            y: "ns".into(),
            series: vec![series("first"), series("second")],
        };
        let svg = super::svg(&chart).expect("it can be drawn");
        for word in ["<svg", "a title", "flows", "first", "second", "1 M"] {
            assert!(svg.contains(word), "{word} is missing");
        }
    }
}
