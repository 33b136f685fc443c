"""The protocol of the studio: what a page asks of the server, and what it is told.

Everything lies under the address that the studio prints, `http://127.0.0.1:PORT/TOKEN/`; so a page asks for relative
addresses, as `api/state`, and never sees the token. Whoever asks with another token finds nothing (404), and whoever
comes from another origin is refused (403). Bodies and answers are JSON unless it says otherwise. What cannot be done is
answered with status 400, 404, 409 (not now), 413 (too large) or 503 (too many at once), and `{"error": one line to
show}`. Ids are texts of letters, digits and hyphens; times are seconds since 1970; sizes are pixels.

GET  `.`                           the page (`page/index.html`); `page/NAME` its other files
GET  `api/studio`                  `Studio`: what there is to choose from; the same while the server lives
GET  `api/defaults?backbone=auto&preset=auto`
                                   dial → the value that it has when it is left alone
GET  `api/state`                   `State`, once
GET  `api/news`                    the same as server-sent events, for ever: `event: state` whenever it changes, at most
                                   ten a second, without its `entry` where that is as in the event before; and `event:
                                   losses` with `Losses`. Whoever is slow misses what is outdated and nothing else.
                                   After a break the browser connects again and gets all
POST `api/images?name=TEXT&kind=image`
                                   body: the bytes of an image file → `Image`. At most `Studio.most_bytes`, of at most
                                   `Studio.most_pixels`. With `kind=map`: a label map, one flat colour for each region,
                                   as a PNG of the content image's proportions → `Image` with `colours`
GET  `api/images/ID?side=512`      the image as JPEG, reduced to this long side (16 to 2048); samples have ids too
GET  `api/images/ID/details`       `Image`, as when it was uploaded
POST `api/runs`                    body: `NewRun` → `{"id": ID}`; it is painted at once, or waits for its turn
GET  `api/runs`                    the gallery: a list of `Entry`, the newest first, each as in `State`: with the newest
                                   `MOST_MOVES` moves of its last stage alone
GET  `api/runs/ID`                 `Entry`, with all that is known
POST `api/runs/ID/dials`           body: `Moved`, what has changed → `{"acts": "at once" | "stage"}`
POST `api/runs/ID/pause`           body of this and the next ones: none
POST `api/runs/ID/go_on`           also for a run of the gallery that was stopped, whose turn then comes
POST `api/runs/ID/stop`            ends its turn; picture and checkpoint are kept
POST `api/runs/ID/restart`         from step 0, with the dials as they are
POST `api/runs/ID/mark`            keeps the state of now; at most `MOST_MARKS`, the oldest goes
POST `api/runs/ID/undo?mark=N`     goes back to a mark
POST `api/runs/ID/first`           its turn comes next (of a run that waits)
DELETE `api/runs/ID`               removes it and its files
GET  `api/runs/ID/frame?after=N`   the newest frame as JPEG, if its number is above N, else 204 and nothing; headers
                                   `Frame`, `Step`. A frame is made only after one was asked for: ask again when
                                   `State.run.frame` grows and the one before is on the screen. Its size is that of the
                                   scale at work, at most `FRAME_SIDE` a side
GET  `api/runs/ID/losses`          `Losses`, all of them
GET  `api/runs/ID/picture.png`     the picture of now, at full size, with its settings; written before it is answered,
GET  `api/runs/ID/picture.tiff`    likewise with 16 bits; a run that waits and has none: 404
GET  `api/runs/ID/run.json`        its record, of the last stage
GET  `api/runs/ID/thumbnail`       a small JPEG; 404 while there is none
POST `api/sweeps`                  body: `NewSweep` → `{"id": ID}`; an `Entry` of kind `sweep`, in the same queue
GET  `api/runs/ID/sweep/index.html`
                                   the page of the sweep, which fills in while it runs; a self-contained document

A dial acts `at once`: on the next chunk of steps, in the same compiled program, with the solver's memory started anew;
or it begins a new `stage`: a run of its own that starts from the picture so far. Several moves before the next chunk
are one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Value = str | int | float | bool | list[Any]
"""The value of a dial: as JSON, or as the text that a command line gives the flag of the same name."""

Dials = dict[str, Value | None]
"""Dial → its value; None, or nothing, leaves it to the preset."""

MOST_BYTES = 128 << 20
"""Bytes of an upload."""

MOST_PIXELS = 64_000_000
"""Pixels of an upload."""

MOST_JSON = 64 << 10
"""Bytes of any other body."""

MOST_STYLES = 8
MOST_WAITING = 100
MOST_MARKS = 6
MOST_MOVES = 50
"""Moves of dials that pages are told of; a slider that is dragged for a minute makes two hundred."""

FRAME_SIDE = 1600
"""Long side of a frame at most."""

FIRST_LOOK = "any_style"
"""The network that paints the first look where no other is chosen."""

Status = Literal["waiting", "starting", "running", "paused", "stopped", "finished", "failed"]
"""`starting` is reading, measuring and compiling. A run that is `failed` says why in `message`."""

Kind = Literal["picture", "sweep"]


@dataclass(frozen=True)
class NewRun:
    """A picture that is wanted.

    Attributes:
        content: id of the content image.
        styles: ids of the style images, 1 to `MOST_STYLES`.
        dials: those that differ from their defaults; any of `Studio.dials`.
        regions: id of a map of the content image.
        style_regions: ids of maps of the style images, one each or none.
        name: what the gallery calls it; by default after its images.
        first_look: the network that paints it in one pass before the first step, of `Studio.first_looks`.
    """

    content: str
    styles: list[str]
    dials: Dials = field(default_factory=dict)
    regions: str | None = None
    style_regions: list[str] = field(default_factory=list)
    name: str = ""
    first_look: str = FIRST_LOOK


@dataclass(frozen=True)
class Moved:
    """What has changed of a run.

    Attributes:
        dials: those that were moved.
        styles: other style images; None for those that there are.
        regions: another map of the content image; None for that which there is, "" for no regions.
        style_regions: other maps of the style images; None for those that there are.
    """

    dials: Dials = field(default_factory=dict)
    styles: list[str] | None = None
    regions: str | None = None
    style_regions: list[str] | None = None


@dataclass(frozen=True)
class NewSweep:
    """Many pictures that are wanted.

    Attributes:
        content: as in `NewRun`, and so the next four.
        styles: these are blended in every cell; with `each_style` there is a cell for each.
        dials: those that all cells have.
        axes: dial → the values of which every combination is painted, 2 to `MOST_VALUES` in all.
        each_style: whether each style image is a value of an axis.
    """

    content: str
    styles: list[str]
    dials: Dials = field(default_factory=dict)
    regions: str | None = None
    style_regions: list[str] = field(default_factory=list)
    name: str = ""
    axes: dict[str, list[Value]] = field(default_factory=dict)
    each_style: bool = False


MOST_VALUES = 100
"""Cells of a sweep."""


@dataclass(frozen=True)
class Dial:
    """A dial as the page shows it.

    Attributes:
        name: its name, that of a flag of `stylize`.
        label: what to call it.
        help: a sentence or two.
        group: `balance`, `strokes`, `colour`, `regions`, `run` or `start`: dials of a group belong together.
        kind: `number`, `whole`, `choice`, `switch`, `numbers` (one for each style image or region), or `text` (a list
            separated by commas).
        acts: `at once` or `stage`, see above.
        least: the least value allowed; None for any.
        most: the greatest.
        slider: the ends of a slider; values beyond it are allowed within `least` and `most`.
        scale: how it is divided: `linear`, `log`, or `power` (the third power of the place).
        choices: the words of a `choice`.
        simple: whether it is shown before one asks for more.
    """

    name: str
    label: str
    help: str
    group: str
    kind: str
    acts: str
    least: float | None = None
    most: float | None = None
    slider: tuple[float, float] | None = None
    scale: str = "linear"
    choices: tuple[str, ...] = ()
    simple: bool = False


@dataclass(frozen=True)
class Image:
    """An image that was uploaded, or a sample.

    Attributes:
        id: its id.
        name: its file's name, to be shown.
        width: in pixels, upright; 0 where it is not known yet.
        height: likewise.
        colours: of a map, each region's colour and its share of the map: `[["#ff8000", 0.25], ...]`.
    """

    id: str
    name: str
    width: int
    height: int
    colours: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Studio:
    """What there is to choose from.

    Attributes:
        version: of nst_jax.
        dials: all dials, in the order in which they are shown.
        networks: names of the backbones whose weights are installed.
        missing: those that are not → the command that installs them.
        presets: preset → names of the networks that it suits.
        samples: `{"contents": [Image], "styles": [Image]}`.
        most_bytes: of an upload.
        most_pixels: of an upload.
        first_looks: names of the networks that may paint a picture in one pass before the optimiser begins.
    """

    version: str
    dials: list[Dial]
    networks: list[str]
    missing: dict[str, str]
    presets: dict[str, list[str]]
    samples: dict[str, list[Image]]
    most_bytes: int
    most_pixels: int
    first_looks: list[str]


@dataclass(frozen=True)
class Losses:
    """Losses of a run over its steps, all lists of one length.

    In `event: losses` those since the event before; `begin` says how many of the earlier ones still hold (after an undo
    fewer than were sent).

    Attributes:
        run: its id.
        begin: index of the first one here.
        step: number of the step in its stage; with another stage they begin anew.
        loss: the loss; None where it is no number.
        terms: name → that term's part, without its weight; likewise.
    """

    run: str
    begin: int
    step: list[int]
    loss: list[float | None]
    terms: dict[str, list[float | None]]


@dataclass(frozen=True)
class Message:
    """Something to tell.

    Attributes:
        number: 1, 2, ...
        time: when.
        level: `note` or `error`.
        text: one line.
        run: id of the run that it is about; "" for none.
    """

    number: int
    time: float
    level: str
    text: str
    run: str = ""


@dataclass(frozen=True)
class Images:
    """The images of a run; see `NewRun`."""

    content: str
    styles: list[str]
    regions: str | None = None
    style_regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mark:
    """A state that can be gone back to.

    Attributes:
        number: 1, 2, ...
        stage: index of its stage.
        step: its step in that stage.
        dials: the dials then.
        moves: as those of its stage, up to then.
    """

    number: int
    stage: int
    step: int
    dials: Dials
    moves: list[tuple[int, Dials]] = field(default_factory=list)


@dataclass
class Stage:
    """A part of a run that one command makes, if no dial was moved in it.

    Attributes:
        begun: the dials with which it began.
        images: its images.
        coarsest: long side of the scale at which it began; None for the first stage, whose scales the dials say.
        moves: `[[step, dials], ...]`, in the order in which they acted.
    """

    begun: Dials
    images: Images
    coarsest: int | None = None
    moves: list[tuple[int, Dials]] = field(default_factory=list)


@dataclass
class Live:
    """The run at work.

    Attributes:
        id: its id.
        stage: index of its stage, from 0.
        step: steps that are done in this stage; of a sweep, cells, likewise below.
        steps: of this stage in all.
        scale: index of the scale at work, from 0.
        sides: long side of each scale of the stage.
        seconds_left: an estimate; None while there is none.
        seconds_per_step: likewise.
        frame: number of the newest frame; they count on over stages and restarts.
        frame_step: the step that it shows; −1 for the picture that a network painted in one pass.
        loss: the newest loss; None before the first.
        terms: name → the newest value of a term, without its weight.
        weights: name → the weight that it has in the run at this moment, at this scale.
        compilations: programs that were compiled since the worker began: for the start of a run, and for its next scale
            beside the one at work. It does not grow when a dial acts at once.
        moved: dials that were moved and have not acted yet.
        doing: what it is at, to be shown: `reading`, `compiling`, `painting`, `waiting`, `stopping`.
    """

    id: str
    stage: int = 0
    step: int = 0
    steps: int = 0
    scale: int = 0
    sides: list[int] = field(default_factory=list)
    seconds_left: float | None = None
    seconds_per_step: float | None = None
    frame: int = 0
    frame_step: int = -1
    loss: float | None = None
    terms: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    compilations: int = 0
    moved: list[str] = field(default_factory=list)
    doing: str = "reading"


@dataclass(frozen=True)
class State:
    """All that a page shows and that changes.

    Attributes:
        version: grows with every change.
        worker: `starting`, `ready`, `busy`, `restarting` or `failed`.
        device: name of the device that computes; "" while it is not known.
        run: the run at work; None where there is none.
        entry: its `Entry`.
        waiting: ids of the runs that wait, in their order.
        gallery: grows whenever an entry changes but for the one at work: ask for `api/runs` again.
        messages: the newest ones, the last 20.
    """

    version: int
    worker: str
    device: str
    run: Live | None
    entry: "Entry | None"
    waiting: list[str]
    gallery: int
    messages: list[Message]


@dataclass
class Entry:
    """A run of the gallery.

    Attributes:
        id: its id.
        kind: `picture` or `sweep`.
        name: what it is called.
        created: when.
        status: see `Status`.
        images: its images as they are now.
        dials: its dials as they are now, those that differ from their defaults.
        stages: its stages so far.
        step: steps done in the last one; of a sweep, cells.
        steps: of it in all.
        marks: the oldest first.
        from_mark: number of the mark that it goes on from in its turn, also after a crash; None for its newest state.
        message: why it failed, or what there is to say.
        pictures: whether there are `picture.png`, `picture.tiff` and `thumbnail`.
        axes: of a sweep.
        each_style: likewise.
        first_look: as in `NewRun`.
        command: the command that makes this picture from here on: of the last stage, or the sweep; "" if something that
            it needs is gone. It is made when a page asks.
        exact: whether that command makes the same bytes: not where dials were moved within the stage.
    """

    id: str
    kind: Kind
    name: str
    created: float
    status: Status
    images: Images
    dials: Dials = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    step: int = 0
    steps: int = 0
    marks: list[Mark] = field(default_factory=list)
    from_mark: int | None = None
    message: str = ""
    pictures: bool = False
    axes: dict[str, list[Value]] = field(default_factory=dict)
    each_style: bool = False
    first_look: str = FIRST_LOOK
    command: str = ""
    exact: bool = True
