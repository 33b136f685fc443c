"""Files: images, folders of images, atomic writes, what a safetensors file begins with."""
