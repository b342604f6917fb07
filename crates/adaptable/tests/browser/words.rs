//! How a page is searched by words: what is asked of the page itself, before the accessible names decide.

/// Elements that can be clicked.
pub(crate) const CLICKABLE: &str = "a[href], button, summary, input[type=submit], input[type=button], [role=button], [role=tab], [role=link], \
    [role=menuitem], [role=radio], label";
/// Elements that take a value.
pub(crate) const FIELDS: &str = "input:not([type=hidden]), textarea, select";
/// Elements that are ticked.
pub(crate) const TICKABLE: &str = "input[type=checkbox], input[type=radio], [role=checkbox], [role=radio], [role=switch]";

/// Arguments: a selector, words. Those that are shown and whose name may have the words: whoever gives a name is looked at, and white
/// space is not. A control that is hidden behind its label counts as shown where the label is.
pub(crate) const CANDIDATES: &str = r"
    const [selector, words] = arguments;
    const flat = (text) => (text ?? '').replace(/\s+/g, '');
    const shown = (e) => e.checkVisibility({visibilityProperty: true}) || [...(e.labels ?? [])].some((l) => l.checkVisibility({visibilityProperty: true}));
    const told = (e) => [e.textContent, e.getAttribute('aria-label'), e.title, e.placeholder, e.type === 'submit' || e.type === 'button' ? e.value : '',
        ...[...(e.labels ?? [])].map((label) => label.textContent),
        ...(e.getAttribute('aria-labelledby') ?? '').split(/\s+/).map((id) => document.getElementById(id)?.textContent),
        ...[...e.querySelectorAll('img[alt], [aria-label]')].map((inner) => inner.alt ?? inner.getAttribute('aria-label'))];
    return [...document.querySelectorAll(selector)].filter((e) => shown(e) && told(e).some((text) => flat(text).includes(flat(words))));
";

/// Arguments: a selector, the beginning of the button's words, words beside it. The button nearest to these words.
pub(crate) const BESIDE: &str = r"
    const [selector, words, beside] = arguments;
    const flat = (text) => (text ?? '').replace(/\s+/g, ' ').trim();
    let best = null, size = Infinity;
    for (const e of document.querySelectorAll(selector)) {
        if (!e.checkVisibility({visibilityProperty: true}) || !flat(e.innerText).startsWith(words)) continue;
        for (let up = e.parentElement; up; up = up.parentElement) {
            if (!flat(up.innerText).includes(beside)) continue;
            if (up.innerText.length < size) { best = e; size = up.innerText.length; }
            break;
        }
    }
    return best;
";

/// What a visitor can read, white space made single.
pub(crate) const TEXT: &str = r"return (document.body?.innerText ?? '').replace(/\s+/g, ' ').trim();";

/// Whether the element with the focus shows it: nothing but the page has it, or there is an outline on it or on what it is drawn in.
pub(crate) const SHOWS_FOCUS: &str = r"
    const drawn = (e) => e && (getComputedStyle(e).outlineStyle !== 'none' && parseFloat(getComputedStyle(e).outlineWidth) > 0 || getComputedStyle(e).boxShadow !== 'none');
    const e = document.activeElement;
    return e === document.body || drawn(e) || drawn(e.parentElement) || drawn(e.closest('label, .choice, .affix, li'));
";
