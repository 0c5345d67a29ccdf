"""`dualsafe check`: whether the method does on a checkpoint what it promises, and at what cost. One question a file."""
