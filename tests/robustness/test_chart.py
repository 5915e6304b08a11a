"""The chart of the soak."""

from xml.etree import ElementTree

from tests.robustness.chart import Phase, Series, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_the_chart_has_a_line_for_each_reading_and_a_band_for_each_attack() -> None:
    readings = [Series(title=title, unit="MiB", points=[(0, 1), (1, 2), (2, 0)]) for title in ("memory", "log")]
    phases = [Phase(name="<pings>", begin=0, end=1), Phase(name="idle", begin=1.5, end=2)]

    drawn = ElementTree.fromstring(draw("A soak", readings, phases))  # noqa: S314, it is our own

    lines = [each.get("points", "") for each in drawn.iter(f"{SVG}polyline")]
    assert [len(line.split()) for line in lines] == [3, 3]
    assert {"A soak", "memory", "log", "<pings>", "idle", "2 MiB"} <= {each.text for each in drawn.iter(f"{SVG}text")}


def test_the_chart_of_nothing_but_zeros_has_its_lines_at_the_bottom() -> None:
    zeros = Series(title="log", unit="", points=[(0, 0), (1, 0)])

    drawn = ElementTree.fromstring(draw("A soak", [zeros], [Phase(name="a", begin=0, end=1)]))  # noqa: S314, our own

    (line,) = [each.get("points", "") for each in drawn.iter(f"{SVG}polyline")]
    assert len({point.split(",")[1] for point in line.split()}) == 1
