"""The process that puts statements in order and passes blobs on; it holds no power."""
