"""Draws directed graphs as SVG: state machines and pipelines, and what an execution did on them.

    asl.py, history ─► model.Graph ─► layers.py ─► layout.py ─► svg.py

Drawn top down in layers after Sugiyama et al. (1981), without a `dot` binary or a browser.
"""
