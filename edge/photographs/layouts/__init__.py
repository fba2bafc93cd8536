"""The layouts of photographs, one file each; `edge.photographs.listing` recognises them."""
