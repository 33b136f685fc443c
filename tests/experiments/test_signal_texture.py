"""Signals as a person gives them, and textures made of them."""

import json
import struct

import numpy as np
import pytest
from PIL import Image
from scipy import signal as processing
from scipy.io import wavfile

from experiments import signal_texture
from experiments.signals import files
from experiments.signals.electrocardiogram import electrocardiogram
from nst_jax.errors import UserError

RANDOM = np.random.default_rng(0)


def config(workdir, **changes):
    small = {"steps": 2, "seeds": 2, "filters": 4, "filter_size": 8, "scales": 2}
    return signal_texture.Config(workdir=str(workdir / "run"), **{**small, **changes})


@pytest.fixture
def sound(tmp_path):
    """A second of two tones at 8 kHz, as a WAV file of 16 bits."""
    time = np.arange(8000) / 8000
    values = 0.4 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1000 * time)
    wavfile.write(tmp_path / "sound.wav", 8000, np.rint(32767 * values).astype(np.int16))
    return tmp_path / "sound.wav", values


def read(path, *, rate=None, longest=10_000):
    return files.read(path, rate=rate, longest=longest)


def test_a_made_heart_beats_as_told():
    values = electrocardiogram(np.random.default_rng(0), rate=250, seconds=30, beats_per_minute=90)
    assert values.shape == (7500,)
    peaks, _ = processing.find_peaks(values, height=0.6, distance=50)
    np.testing.assert_allclose(60 * 250 / np.diff(peaks).mean(), 90, rtol=0.03)
    assert 0.01 < np.diff(peaks).std() / np.diff(peaks).mean() < 0.06
    # The waves of every beat in their order, P Q R S T.
    for peak in peaks[1:-1]:
        beat = values[peak - 70 : peak + 90]
        q, r, s = beat[50:68].min(), beat[70], beat[72:90].min()
        p, t = beat[:50].max(), beat[90:].max()
        assert r > t > p > 0.1 > 0 > q > s


def test_two_steps(tmp_path):
    result = signal_texture.run(config(tmp_path))
    folder = tmp_path / "run"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("original.csv", "settings.json", "signals.png", "texture0.csv", "texture1.csv")
    ]
    assert result.synthesised.shape == (2, 2048)
    assert (result.losses[1] < result.losses[0]).all()
    for index in range(2):
        np.testing.assert_allclose(np.loadtxt(folder / f"texture{index}.csv"), result.synthesised[index], rtol=1e-5)
    assert abs(np.corrcoef(result.synthesised)[0, 1]) < 0.5  # each seed has its own
    low, high = result.original.values.min(), result.original.values.max()
    assert low <= result.synthesised.min() < result.synthesised.max() <= high
    record = json.loads((folder / "settings.json").read_text())
    assert (record["settings"]["filters"], record["steps_done"]) == (4, 2)
    np.testing.assert_allclose(record["losses"]["last"], result.losses[1])
    with Image.open(folder / "signals.png") as plot:
        assert plot.width > 1000


def test_a_sound_becomes_a_sound(tmp_path, sound):
    path, _ = sound
    signal_texture.run(config(tmp_path, input=str(path), rate=4000.0, samples=1000))
    rate, samples = wavfile.read(tmp_path / "run" / "texture1.wav")
    assert (rate, samples.shape, samples.dtype) == (4000, (1000,), np.int16)
    assert not (tmp_path / "run" / "original.wav").exists()


def test_reading_a_sound(sound):
    path, values = sound
    found = read(path)
    assert (found.rate, found.suffix) == (8000, ".wav")
    np.testing.assert_allclose(found.values, values, atol=1e-4)
    np.testing.assert_array_equal(read(path, longest=100).values, found.values[:100])


@pytest.mark.parametrize("rate", [4000, 6000, 11025])
def test_resampling(sound, rate):
    path, _ = sound
    found = read(path, rate=float(rate), longest=rate // 2)
    assert (found.rate, len(found.values)) == (rate, rate // 2)
    time = np.arange(rate // 2) / rate
    expected = 0.4 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1000 * time)
    inner = slice(rate // 20, None)
    np.testing.assert_allclose(found.values[inner], expected[inner], atol=5e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_all_kinds_of_samples_in_stereo(tmp_path, kind):
    left, right = RANDOM.uniform(-0.9, 0.9, (2, 50))
    stereo = np.stack([left, right], axis=1)
    if np.issubdtype(kind, np.integer):
        half = np.iinfo(kind).max // 2 + 1 if kind == np.uint8 else np.iinfo(kind).max
        samples = np.rint(stereo * half + (128 if kind == np.uint8 else 0)).astype(kind)
    else:
        samples = stereo.astype(kind)
    wavfile.write(tmp_path / "stereo.wav", 8000, samples)
    np.testing.assert_allclose(read(tmp_path / "stereo.wav").values, (left + right) / 2, atol=0.01)


def test_written_sound_is_what_was_read(tmp_path, sound):
    path, _ = sound
    files.write(tmp_path / "again.wav", read(path))
    np.testing.assert_allclose(read(tmp_path / "again.wav").values, read(path).values, atol=4e-5)
    loud = files.Signal(np.array([0.0, 2.0, -4.0]), 8000.0, ".wav")
    files.write(tmp_path / "loud.wav", loud)
    np.testing.assert_array_equal(wavfile.read(tmp_path / "loud.wav")[1], [0, 16384, -32767])


def test_reading_text(tmp_path):
    (tmp_path / "pulse.csv").write_text("﻿volts\n1.5\n\n -2e-1 \n3\n", encoding="utf-8")
    found = read(tmp_path / "pulse.csv", rate=50.0)
    assert (found.values.tolist(), found.rate, found.suffix) == ([1.5, -0.2, 3.0], 50.0, ".csv")
    assert read(tmp_path / "pulse.csv", longest=2).values.tolist() == [1.5, -0.2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected one number per line, found none"),
        ("volts\n", "expected one number per line, found none"),
        ("1\n2\n3,4\n", "expected one number per line, found '3,4' in line 3"),
        ("1\nnan\n2\n", "expected numbers, found nan as sample 2"),
        ("1\ninf\n", "expected numbers, found inf as sample 2"),
        ("5\n" * 100, "expected a signal that varies, found 100 equal samples"),
        ("1\n2\n", "expected at least 16 samples, which the widest filters see, found 2; give a longer"),
        (b"\xff\xfe\x00", "expected text with one number per line, found other bytes"),
    ],
    ids=str,
)
def test_text_that_is_refused(content, message, tmp_path):
    (tmp_path / "bad.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(tmp_path, "bad.txt", message)


def test_missing_files(tmp_path):
    refused(tmp_path, "none.wav", "none.wav: cannot be read .*No such file")
    refused(tmp_path, "none.csv", "none.csv: cannot be read .*No such file")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.int16), "expected"),
        (np.zeros(500, np.int16), "expected a signal that varies"),
        (np.full(500, np.nan, np.float32), "expected numbers, found nan as sample 1"),
        (np.arange(9, dtype=np.int16), "expected at least 16 samples"),
    ],
    ids=["empty", "silent", "nan", "short"],
)
def test_sounds_that_are_refused(samples, message, tmp_path):
    wavfile.write(tmp_path / "bad.wav", 8000, samples)
    refused(tmp_path, "bad.wav", message)


def test_broken_headers(tmp_path, sound):
    path, _ = sound
    whole = path.read_bytes()
    broken = [whole[:length] for length in range(60)]
    broken += [whole[:at] + byte + whole[at + 1 : 200] for at in range(44) for byte in (b"\x00", b"\xff")]
    broken += [whole[:24] + struct.pack("<I", 0) + whole[28:]]
    refusals = []
    for content in broken:
        (tmp_path / "broken.wav").write_bytes(content)
        try:
            read(tmp_path / "broken.wav")
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 80
    assert all("expected" in refusal and "\n" not in refusal for refusal in refusals)


def test_a_full_disk(tmp_path, full_disk):
    with full_disk(), pytest.raises(UserError, match="No space left"):
        signal_texture.run(config(tmp_path))
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("changes", [{"seeds": 0}, {"scales": 0}, {"samples": 1}, {"rate": 0.0}], ids=str)
def test_numbers_out_of_range(changes, tmp_path):
    with pytest.raises(UserError, match=f"--{next(iter(changes))}: expected"):
        config(tmp_path, **changes)


def refused(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        signal_texture.run(config(tmp_path, input=str(tmp_path / name)))
    assert not (tmp_path / "run").exists()
