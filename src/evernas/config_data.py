"""The sections of the config that say what data there is, how it is split, and what it must satisfy."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from evernas.section import Positive, Section, Share, absent


class SignalConfig(Section):
    """How a recording of several channels over time becomes samples."""

    channels: list[str] = Field(min_length=1, description="Names of the channels, in the order of the payload.")
    length: int = Field(ge=8, description="Length of one window, in time steps.")
    stride: Positive = Field(description="Distance between the starts of two windows, in time steps.")
    rate_hz: float | None = Field(None, gt=0, description="Sampling rate, for reports; nothing is resampled.")

    @property
    def shape(self) -> tuple[int, int]:
        """(channels, time) of one sample."""
        return len(self.channels), self.length


class ImageConfig(Section):
    """What an image is; each is a sample."""

    channels: list[str] = Field(
        default=["grey"],
        min_length=1,
        description="Names of the colours, in the order of the payload: red, green, blue.",
    )
    height: int = Field(ge=8, description="Rows of pixels; an image of another size goes to quarantine.")
    width: int = Field(ge=8, description="Columns of pixels.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one sample."""
        return len(self.channels), self.height, self.width


class TextConfig(Section):
    """What a text is, and how it becomes numbers; each is a sample."""

    characters: int = Field(
        256,
        ge=8,
        le=65_536,
        description="Most characters of a text once blanks are tidied; a longer one goes to quarantine.",
    )
    tokens: int = Field(
        32, ge=2, le=1024, description="Sub-words that a network is given; those after them are cut off."
    )
    vocabulary: int = Field(
        1000,
        ge=257,
        le=65_536,
        description="Most different sub-words: padding, the 256 bytes, and the most frequent pairs in the training "
        "texts, merged. Learned when a supernet starts cold, kept while it starts warm.",
    )
    lowercase: bool = Field(True, description="Whether capital letters are read as small ones.")

    @property
    def channels(self) -> list[str]:
        """A text is one row of characters."""
        return ["text"]

    @property
    def shape(self) -> tuple[int]:
        """(tokens,): what a network is given of one text."""
        return (self.tokens,)


SampleConfig = SignalConfig | ImageConfig | TextConfig
_NOUNS = {"signal": "windows", "image": "images", "text": "texts"}


_NAMES, _SHARE = "(names)", "(share)"
FORMS = (_NAMES, _SHARE)
"""Of what may be given in two forms, which one is meant; no key of the config."""


def _form(value: object) -> str:
    return _NAMES if isinstance(value, list | tuple | str) else _SHARE


Named = Annotated[list[str], Field(min_length=1), Tag(_NAMES)]
Part = Annotated[float, Field(gt=0, lt=1), Tag(_SHARE)]
NamedOrPart = Annotated[Named | Part, Discriminator(_form)]


class NewDomainsConfig(Section):
    """What becomes of a domain that comes and is not named: drawn by lot, once, of its name alone."""

    gate: Share = Field(0.0, description="Share of them that judge.")
    search: Share = Field(0.0, description="Share of them that guide the search; all others train.")
    seed: int = Field(0, description="Another number is another lot, for those that come from then on.")

    @model_validator(mode="after")
    def _leaves_some(self) -> NewDomainsConfig:
        if self.gate + self.search > 1:
            raise ValueError(f"gate and search are {self.gate:g} and {self.search:g}, more than all together")
        return self


class SplitConfig(Section):
    """What judges and what guides the search: whole domains, or shares of the recordings of all domains."""

    by: Literal["domain", "recording"] = Field(
        "domain",
        exclude_if=lambda by: by == "domain",
        description="What is never parted. By domain, gate and search name domains, every other domain trains, and the "
        "gate may speak of domains like those it names. By recording (an image or a text is one), gate and search are "
        "shares of them, drawn by lot within every domain: for domains that are few and stay the same. The gate then "
        "speaks of these domains only.",
    )
    gate: NamedOrPart = Field(
        description="Domains that only the gate reads; by recording the share of the recordings that it alone reads."
    )
    search: NamedOrPart = Field(
        description="Domains that the search may look at; by recording the share of the recordings that it looks at."
    )
    new: NewDomainsConfig | None = Field(
        None,
        exclude_if=absent,
        description="By domain: shares of the domains that come unnamed which judge and guide the search; all train if "
        "not given. Each is drawn once, when it is first taken in, and stays whatever is written here later.",
    )
    seed: int = Field(
        0,
        exclude_if=lambda seed: seed == 0,
        description="By recording: another number is another lot. Once a run is done it can never change.",
    )
    group: str | None = Field(
        None,
        exclude_if=absent,
        description="By recording, where one was delivered in parts under ids of their own: a regular expression that "
        "is searched for in each id, and whose first bracket is the name that the parts share, such as ^(.+)-part. "
        "What it does not find is a recording by itself.",
    )

    @model_validator(mode="after")
    def _of_one_kind(self) -> SplitConfig:
        for name, value in (("gate", self.gate), ("search", self.search)):
            if self.by == "domain" and not isinstance(value, list):
                raise ValueError(
                    f"{name} is {value:g}, a share, and data.splits.by is domain: name domains, or set by to recording"
                )
            if self.by == "recording" and isinstance(value, list):
                raise ValueError(
                    f"{name} names {', '.join(value)}, and data.splits.by is recording: give a share of the "
                    "recordings, such as 0.2, or set by to domain"
                )
        return self

    @model_validator(mode="after")
    def _disjoint(self) -> SplitConfig:
        both = sorted(set(self.gate_domains) & set(self.search_domains))
        if both:
            raise ValueError(f"the domains {', '.join(both)} are in gate and in search: a domain belongs to one split")
        gate, search = self.shares
        if gate + search >= 1:
            raise ValueError(f"gate and search are {gate:g} and {search:g}, which leaves nothing to train on")
        return self

    @model_validator(mode="after")
    def _asked_for(self) -> SplitConfig:
        if self.by == "domain" and (self.seed or self.group is not None):
            what = "seed" if self.seed else "group"
            raise ValueError(
                f"{what} is given, and data.splits.by is domain, where no recording is drawn: leave it out"
            )
        if self.by == "recording" and self.new is not None:
            raise ValueError("new is given, and data.splits.by is recording, where all domains are split: leave it out")
        return self

    @field_validator("group")
    @classmethod
    def _with_a_bracket(cls, group: str | None) -> str | None:
        try:
            brackets = 1 if group is None else re.compile(group).groups
        except re.error as error:
            raise ValueError(f"group is no regular expression ({error})") from None
        if brackets < 1:
            raise ValueError("group has no bracket, so that nothing says what parts share: write one, as in ^(.+)-part")
        return group

    @property
    def by_recording(self) -> bool:
        """Whether every domain is in all splits, each recording in one."""
        return self.by == "recording"

    @property
    def gate_domains(self) -> list[str]:
        """The domains that only the gate reads; none by recording."""
        return self.gate if isinstance(self.gate, list) else []

    @property
    def search_domains(self) -> list[str]:
        """The domains that the search may look at; none by recording."""
        return self.search if isinstance(self.search, list) else []

    @property
    def shares(self) -> tuple[float, float]:
        """By recording the shares of gate and search, else none."""
        gate, search = (0.0 if isinstance(value, list) else value for value in (self.gate, self.search))
        return gate, search

    def unit_of(self, recording: str) -> str:
        """By recording: what a recording shares its split with; itself, or what `group` finds in its id."""
        found = None if self.group is None else re.search(self.group, recording)
        return (None if found is None else found[1]) or recording


class NearDuplicatesConfig(Section):
    """When samples of different domains (or recordings, whichever are split) count as copies of one another."""

    enabled: bool = Field(True, description="Whether copies that were changed a little are looked for at all.")
    similarity: float | None = Field(
        None,
        gt=0.5,
        le=1,
        description="How alike two samples must be, whatever their gain and a small shift: correlation of windows and "
        "images, the share of common runs of characters of texts. By default 0.98, for texts 0.8.",
    )
    join: Share = Field(
        0.5,
        description="A new domain of which more than this share of the rows are copies of another domain's is that "
        "domain under another name, and goes into its split; of any other, the rows that are copies leave training. "
        "Where data.splits.by is recording the same is asked of recordings.",
    )


Kind = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$")]
Name = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]


class DataConfig(Section):
    """Where data comes from and how it is split."""

    source: str = Field(
        description="Folder of Parquet, npz, JSON lines or CSV files (images: Parquet or npz; texts: all but npz), or "
        "s3://bucket/prefix "
        "(after a '?': endpoint=https://host&region=name; credentials come from the environment). ${EVERNAS_HOME} and "
        "other variables are expanded; a relative path is relative to the config file."
    )
    kind: Literal["signal", "image", "text"] = Field("signal", description="Kind of the data.")
    signal: SignalConfig | None = Field(
        None, exclude_if=absent, description="For the kind signal: how recordings become windows."
    )
    image: ImageConfig | None = Field(None, exclude_if=absent, description="For the kind image: what an image is.")
    text: TextConfig | None = Field(None, exclude_if=absent, description="For the kind text: what a text is.")
    labels: list[str] = Field(min_length=2, description="The known labels; the order is the class index.")
    splits: SplitConfig
    strata: dict[Kind, dict[Name, Name]] | None = Field(
        None,
        exclude_if=absent,
        description="What production consists of, beside domains: for each kind (site, device model) the "
        "stratum of each domain. How much of it the gate split covers is said in reports; validation can ask for it.",
    )
    max_loss: Share = Field(
        0.01, description="Largest share of the rows that one run may remove; a run that would remove more is refused."
    )
    retired: list[str] = Field(
        default=[], description="Domains whose rows may go altogether; a run that would lose any other is refused."
    )
    near_duplicates: NearDuplicatesConfig = NearDuplicatesConfig()
    domain_noun: str = Field(
        "domains", description="What the domains are, in the plural, for sentences: people, sites, devices."
    )

    @model_validator(mode="after")
    def _of_its_kind(self) -> DataConfig:
        for kind, section in (("signal", self.signal), ("image", self.image), ("text", self.text)):
            if (section is None) == (kind == self.kind):
                lacking = f"data.kind is {self.kind}, and data.{kind} is {'missing' if section is None else 'given'}"
                raise ValueError(f"{lacking}: give data.{self.kind}, and that alone")
        return self

    @property
    def sample(self) -> SampleConfig:
        """What one sample is: data.signal, data.image or data.text, whichever the kind asks for."""
        found = {"signal": self.signal, "image": self.image, "text": self.text}[self.kind]
        assert found is not None
        return found

    @property
    def sample_noun(self) -> str:
        """What samples are called in sentences, in the plural."""
        return _NOUNS[self.kind]

    @field_validator("labels")
    @classmethod
    def _unique(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) != len(labels):
            raise ValueError("a label stands twice in the list: name each label once")
        return labels


class FreshnessConfig(Section):
    """How old the good rows may be when a run begins, by the time that came with them."""

    max_age_days: Positive | None = Field(
        30, description="Days. The newest good row is no older; null for any age. A day that has begun counts whole."
    )
    recent_days: Positive | None = Field(None, description="Days. What min_recent calls recent.")
    min_recent: Share | None = Field(
        None, description="Smallest share of the good rows that are of the last recent_days; not asked if not given."
    )
    max_untimed: Share = Field(
        0.0, description="Largest share of the good rows that may have no time. Where none has one the run is refused."
    )
    clock_skew_hours: float = Field(
        24.0,
        ge=0,
        allow_inf_nan=False,
        description="Hours. A row whose time lies further after the run's begin goes to quarantine.",
    )

    @model_validator(mode="after")
    def _together(self) -> FreshnessConfig:
        if (self.recent_days is None) != (self.min_recent is None):
            raise ValueError(
                f"recent_days is {self.recent_days} and min_recent {self.min_recent}: give both, or neither"
            )
        return self


class ValidationConfig(Section):
    """What the data must satisfy. Row rules send rows to quarantine; dataset rules refuse the run."""

    max_abs: float = Field(1e4, gt=0, description="Largest absolute payload value of a good row.")
    min_std: float = Field(
        1e-6, ge=0, description="Smallest standard deviation of any channel of a good row: a dead sensor is below."
    )
    max_quarantine: Share = Field(0.5, description="Largest share of the new rows that may go to quarantine.")
    min_rows: dict[Literal["train", "search", "gate"], int] = Field(
        default={"train": 50, "search": 20, "gate": 20}, description="Fewest good rows per split."
    )
    min_rows_per_class: int = Field(1, ge=0, description="Fewest good rows of each class in each split.")
    min_stratum_coverage: Share | None = Field(
        None,
        exclude_if=absent,
        description="Smallest share of production, by rows and by domains, whose strata the gate split covers, for "
        "each kind in data.strata; not asked if not given.",
    )
    freshness: FreshnessConfig | None = Field(
        None, exclude_if=absent, description="How old the rows may be; not asked if not given."
    )


class RetentionConfig(Section):
    """How long what runs leave stays, which `evernas gc` applies: for each kind, of how many of the newest runs.

    What a champion, one before it, the journal or a run at work reaches stays in any case.
    """

    snapshots: Positive = Field(10, description="Completed runs whose data stays.")
    steps: Positive = Field(10, description="Completed runs whose results of steps stay, to be re-used.")
    bundles: Positive = Field(10, description="Completed runs whose candidates stay.")
    quarantine: Positive = Field(10, description="Completed runs whose judgement of rows stays, with the quarantine.")
    reports: Positive = Field(100, description="Completed runs whose report and Data Docs stay.")
    runs: Positive = Field(1000, description="Completed runs whose folder stays, with result and decisions.")
    days: float = Field(1.0, ge=0, description="What was written less long ago stays.")

    def keeping(self, runs: int | None) -> RetentionConfig:
        """The same, where a number of runs is given for all that can be made anew: data, steps, bundles, quarantine."""
        if runs is None:
            return self
        return self.model_copy(update=dict.fromkeys(("snapshots", "steps", "bundles", "quarantine"), runs))
