"""The service: OpenAI's images API before a pipeline, concurrent requests drawn together."""
