"""What people look at: `keras_seg.report.page.write_report` makes one HTML file of a run."""
