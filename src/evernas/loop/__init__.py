"""Starting, following and foreseeing a run: what happens around the pipeline, on the machine of the person who asks."""
