"""A small tagger of names, places, organisations and addresses of our own: numpy and one file of weights."""
