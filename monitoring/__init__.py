"""What an endpoint saw and said: data capture as a table, and a picture of it.

    captures = read_captures("s3://bucket/prefix/endpoint", s3=s3, classes=("bicycle", "motorcycle"))
    report = write_report(captures, Path("monitoring.png"), threshold=0.8, statistics=statistics)

`read_captures` is in `monitoring.capture`, `write_report` in `monitoring.report`.
"""
