# requires: pillow
import io

from PIL import Image, ImageDraw, ImageFont

picture = Image.new("RGB", (200, 60))
ImageDraw.Draw(picture).text((5, 5), "héllo", font=ImageFont.load_default(30))
assert picture.getbbox() is not None
for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
    stream = io.BytesIO()
    picture.save(stream, kind)
    assert Image.open(stream).size == (200, 60), kind
