"""Reports for people: `keras_seg.report.page.write_report` writes one HTML file about a run."""
