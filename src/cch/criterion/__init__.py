"""The criterion: verdict by bounds, the estimated gap beside it, and intervals of gains."""
