"""The CNN of experiments that make their pictures, which are small."""

# A VGG of three convolutions and no hidden layer. A net that must tell where something
# is finds no gradient to begin with unless every layer before is normed; with a
# hidden layer that has none a net of moving digits found their axes, not their ways.
SMALL = {
    "encoder": "vgg11_bn",
    "encoder_fields": {
        "blocks": [[16], [32], [64]],
        "hidden": [],
        "map_size": 4,
        "dropout": 0.0,
        "fc_scheme": "he_normal",
    },
}
