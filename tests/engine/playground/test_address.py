"""An address is what it was before mail programs and search engines had it, or refused; it never becomes circle."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from engine.playground.page import ignored_parts, parse_hash, pasted_address

PAGE = "https://playground.tensorflow.org/"
CONTENT = "activation=relu&dataset=xor&noise=10&networkShape=4,2&regularization=L1&seed=0.5"
WHOLE = f"{PAGE}#{CONTENT}"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"#{CONTENT}",
        f" <{WHOLE}> ",
        WHOLE.replace("&", "&amp;"),
        WHOLE.replace("&", "&amp;amp;"),
        WHOLE.replace("&", "&#38;"),
        WHOLE.replace("&reg", "\u00ae"),
        WHOLE.replace("#", "?"),
        WHOLE.replace("#", "#?"),
        WHOLE.replace("#", "%23"),
        f"{PAGE}?utm_source=mail#{CONTENT}",
        f"{PAGE}#{quote(CONTENT, safe='')}",
        f"{PAGE}{quote('#' + CONTENT, safe='')}",
        quote(CONTENT, safe=""),
        WHOLE.removeprefix("https://"),
        WHOLE.replace("https://", "HTTP://"),
        f"https://nam02.safelinks.protection.outlook.com/?url={quote(WHOLE, safe='')}"
        "&data=05%7C01&sdata=a%3D&reserved=0",
        f"https://eur01.safelinks.protection.outlook.com/?url={quote(PAGE, safe='')}&data=05%7C01&reserved=0#{CONTENT}",
        f"https://www.google.com/url?q={quote(WHOLE, safe=':/')}&sa=D&source=editors&usg=AOv",
        f"https://www.google.com/url?q={WHOLE}",
        f"https://l.facebook.com/l.php?u={quote(quote(WHOLE, safe=''), safe='')}&h=AT0",
        f"https://urldefense.com/v3/__{WHOLE.replace('#', '*')}__;Iw!!abc",
        f"https://www.google.com/url?q={quote(WHOLE, safe='')}&sa=D".replace("&", "&amp;"),
    ],
)
def test_what_mail_and_search_engines_did_is_undone(text: str) -> None:
    assert parse_hash(text) == parse_hash(CONTENT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"https://example.com/#{CONTENT}", f"URL: example.com is another site; give an address of {PAGE}, or only "
                                            f"what "
         "stands after its #"),
        (f"https://playground.tensorflow.org.example.com/#{CONTENT}", "URL: playground.tensorflow.org.example.com is "
         f"another site; give an address of {PAGE}, or only what stands after its #"),
        (f"https://example.com/?a={quote(WHOLE, safe='')}&b={quote(PAGE + '#dataset=gauss', safe='')}",
         f"URL: example.com is another site; give an address of {PAGE}, or only what stands after its #"),
        (f"{PAGE}?dataset=xor#dataset=gauss", "URL: 'dataset=gauss' and 'dataset=xor' both say what to train, of which "
         "the page reads what stands after #; give one of them"),
        (f"{PAGE}#datset=xor", f"URL: nothing in 'datset=xor' is a name that the page knows; give "
                               f"{PAGE}#dataset=xor for "
         "instance"),
        ("xor", f"URL: 'xor' is not a Playground address; give {PAGE}#name=value&name=value"),
    ],
)  # fmt: skip
def test_what_has_no_plain_meaning_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        parse_hash(text)
    assert str(caught.value) == message


def test_what_was_undone_is_told_once() -> None:
    assert pasted_address(WHOLE).notes == ()
    assert pasted_address(WHOLE.replace("&", "&amp;amp;")).notes == ("HTML's &amp; read as &",)
    assert pasted_address(WHOLE.replace("#", "?")).notes == ("? read as #",)
    assert pasted_address(f"https://t.co/x?to={quote(WHOLE, safe='')}").notes == ("taken out of a redirect of t.co",)


@pytest.mark.parametrize("seed", ["0.5%20", "a%26b", "%3D"])
def test_a_seed_stays_as_the_page_takes_it(seed: str) -> None:
    assert parse_hash(f"{PAGE}#dataset=xor&seed={seed}").seed == seed


def test_what_the_page_passes_over_is_said() -> None:
    assert ignored_parts("dataset=xor&x_hide=true&noise=5") == ()
    assert ignored_parts("dataset=XOR&noize=5") == (
        "dataset=XOR is none of gauss, xor, circle, spiral: the page takes circle",
        "the page knows no 'noize' and passes over it; did you mean 'noise'?",
    )
