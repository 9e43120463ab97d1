"""Which language is wanted, and how a sentence gets from English to Chinese."""

import copy
import locale
import pickle

import pytest

from minigpt.system.language import Sentence, joined, language, translator

VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
CHINESE = {
    "{n:,} tokens": "{n:,} 个词元", "{name} is wrong: {what}": "{name}有误：{what}", "the loss": "损失", "well": "正常",
    ", ": "、",
}


@pytest.mark.parametrize("values, spoken", [        # of LANGUAGE, LC_ALL, LC_MESSAGES and LANG
    (("", "", "", "zh_CN.UTF-8"), "zh"), (("", "", "", "en_US.UTF-8"), "en"), (("", "", "", "fr_FR"), "en"),
    (("", "", "zh_TW", "en_US"), "zh"), (("", "en_GB", "zh_CN", "zh_CN"), "en"), (("", "zh_HK.UTF-8", "", "de_DE"), "zh"),
    (("zh", "", "", "en_US.UTF-8"), "zh"), (("en:zh", "", "", "zh_CN.UTF-8"), "en"), (("fr:zh_CN:en", "", "", "fr_FR"), "zh"),
    (("zh_CN:zh", "C", "", "zh_CN"), "en"), (("zh", "", "", "C.UTF-8"), "zh"), (("", "", "", "POSIX"), "en"),
    (("", "", "", ""), "en"),
])
def test_the_locale_says_which_language_as_in_gettext(values, spoken, monkeypatch):
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(locale, "getlocale", lambda: (None, None))
    assert language() == spoken


def test_without_variables_the_system_says_it(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, spoken in (("Chinese (Simplified)_China", "zh"), ("zh_CN", "zh"), ("English_United States", "en"), (None, "en")):
        monkeypatch.setattr(locale, "getlocale", lambda name=name: (name, "936"))
        assert language() == spoken, name


def test_a_language_given_is_the_language_and_another_is_refused(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert (language("en"), language("zh"), language()) == ("en", "zh", "zh")
    with pytest.raises(ValueError, match="language: 'fr', expected one of en, zh"):
        language("fr")


def test_a_sentence_is_english_text_and_translated_with_its_values():
    sentence = Sentence("{name} is wrong: {what}", name=Sentence("the loss"),
                        what=joined([Sentence("{n:,} tokens", n=99), "wte"]))
    tell = translator("zh", CHINESE)
    assert sentence == "the loss is wrong: 99 tokens, wte"
    assert translator("en", CHINESE)(sentence) == sentence
    for same in (sentence, copy.deepcopy(sentence), pickle.loads(pickle.dumps(sentence))):
        assert tell(same) == "损失有误：99 个词元、wte"


def test_text_from_outside_is_a_value_and_stays_as_it_is():
    tell = translator("zh", CHINESE)
    assert tell(Sentence("{name} is wrong: {what}", name="{n} well", what="the loss")) == "{n} well有误：the loss"
    assert (tell("well"), tell("{n:,}"), tell(joined([]))) == ("正常", "{n:,}", "")


def test_what_has_no_chinese_stays_english_around_values_that_have():
    assert translator("zh", CHINESE)(Sentence("so: {what}", what=Sentence("the loss"))) == "so: 损失"
    assert translator("zh", {"a": "甲"}, {"b": "乙"})("b") == "乙"
