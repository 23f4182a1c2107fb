"""What an endpoint saw and said: data capture as a table, and a picture of it.

    captures = read_captures("s3://bucket/prefix/endpoint", s3=s3, classes=("bicycle", "motorcycle"))
    baseline = Baseline.read(statistics, predictions, captures.classes)
    report = write_report(captures, Path("monitoring.png"), threshold=0.8, baseline=baseline)

`read_captures` is in `monitoring.capture`, `Baseline` in `monitoring.baseline`, `write_report` in
`monitoring.report`.
"""
