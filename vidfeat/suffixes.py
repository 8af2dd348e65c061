"""File name suffixes that count as videos and as images when a directory is listed."""

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb .ts .vob .webm .wmv".split()
)
IMAGE_SUFFIXES = frozenset(".bmp .jpeg .jpg .png .ppm .pgm .tif .tiff .webp".split())
