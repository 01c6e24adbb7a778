"""Makes DOCX files of the reports in a JSON list on standard input; a JSON list of them in base64 on standard output."""

import base64
import io
import json
import sys

from docx import Document


def made(report):
    document = Document()
    document.add_heading(report["title"], level=0)
    document.add_heading(report["heading"], level=1)
    for item in report["items"]:
        document.add_paragraph(item, style="List Bullet")
    rows = report["rows"]
    table = document.add_table(rows=len(rows), cols=len(rows[0]))
    for cells, row in zip(table.rows, rows):
        for cell, text in zip(cells.cells, row):
            cell.text = text
    file = io.BytesIO()
    document.save(file)
    return base64.b64encode(file.getvalue()).decode()


json.dump([made(report) for report in json.load(sys.stdin)], sys.stdout)
