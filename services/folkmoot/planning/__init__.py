"""Stories: their life cycle and their tasks."""
