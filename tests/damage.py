"""What disks and networks do to files."""


def flip(path, offset, mask=0x10):
    """Change bits of one byte of a file."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ mask]))
