"""(frozen features, labels) -> scores that predict how well a backbone transfers; arrays in, numbers out."""
