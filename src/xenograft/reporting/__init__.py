"""Records -> one HTML page, figures and tables. `page.render(study)` is all a caller needs."""
