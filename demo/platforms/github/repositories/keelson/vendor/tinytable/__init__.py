# tinytable 0.3.1, vendored from its author, see LICENSE.tinytable. Do not edit here.
# Copyright (c) 2018 Odd Brekkesen (made-up). MIT.

def render(rows, headers):
    widths = [max(len(str(cell)) for cell in column) for column in zip(headers, *rows)]
    line = "+".join("-" * (width + 2) for width in widths)
    out = [line]
    for row in [headers, *rows]:
        out.append("|".join(f" {str(cell):<{width}} " for cell, width in zip(row, widths)))
    return "\n".join([*out, line])
