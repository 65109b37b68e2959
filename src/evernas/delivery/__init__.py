"""Data as people have it (folders of images or texts, tables of any columns) as one file that ingest reads."""
