"""Why a model answered as it did: maps of an image's evidence, and a picture of them beside the image.

    model = network(Path("model.tar.gz"))
    picture = draw([explain(model, "scooter.png", read(png), METHODS)])

`network`, `black_box` and `read` are in `.model`, `explain` in `.maps`, `draw` in `.figure`.
"""
