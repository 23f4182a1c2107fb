"""Runs pipelines: interprets the stored definition JSON, as SageMaker Pipelines does.

`definition` and `validation` read it, `plan` says what may run, `expressions` and `conditions` give values,
`kinds` knows how each type of step is done, `runner` moves one execution on, `threads` runs them all.
"""
