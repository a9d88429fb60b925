"""Published formats of fine-tuning data, a small module each: ``table`` lists them, ``values`` is what they share."""
