# requires: pandas jinja2
import io

import pandas

table = pandas.read_csv(io.StringIO("a,b\n1,2\n1,4\n"), parse_dates=False)
assert table.groupby("a").b.sum().tolist() == [6]
assert "<table" in table.style.to_html()
assert pandas.Timestamp("2026-01-01", tz="Europe/Berlin").utcoffset().seconds == 3600
