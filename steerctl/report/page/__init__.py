"""`steerctl report`: run folders -> methods over seeds -> one page, tables, figures.

methods.py   run folders grouped into methods     curves.py    what is drawn over the steps
findings.py  what may be concluded                settings.py  methods as changes to their baseline
html.py      the page                             sections.py  its parts
files.py     CSV, LaTeX, Markdown                 figures.py   SVG
"""
