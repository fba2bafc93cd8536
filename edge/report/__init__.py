"""What self-contained HTML pages share. Needs the extra `verify`."""
