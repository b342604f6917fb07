//! What the end of a Python traceback says: variables that settings classes miss, and any other exception, with its place.

use super::Explanation;

/// Settings classes of pydantic name each field that has no value on a line of its own below the exception.
pub(super) fn missing_settings(log: &str) -> Option<Explanation> {
    if !["pydantic_settings", "BaseSettings", "env_settings"].iter().any(|sign| log.contains(sign)) {
        return None;
    }
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    let at = lines.iter().rposition(|line| line.contains("validation error") && line.contains(" for "))?;
    let names: Vec<String> = lines[at..]
        .windows(2)
        .filter(|pair| pair[1].to_ascii_lowercase().starts_with("field required"))
        .map(|pair| pair[0].to_ascii_uppercase())
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    let (verb, set) = (if names.len() == 1 { "is" } else { "are" }, names.join("=… "));
    let what = if names.len() == 1 { "variable" } else { "variables" };
    (!names.is_empty()).then(|| {
        Explanation::new(
            "missing-variable",
            format!("The {what} {} {verb} not set", names.join(", ")),
            "The app's settings class reads it from the environment when it starts."
                .replace("it", if names.len() == 1 { "it" } else { "them" }),
            format!("Set what it needs: `adaptable env APP set {set}=…`"),
        )
    })
}

/// The exception that ended the app, and the line of the app's own that it came through last.
pub(super) fn exception(log: &str) -> Option<Explanation> {
    let lines: Vec<&str> = log.lines().collect();
    let begin = lines.iter().rposition(|line| line.trim() == "Traceback (most recent call last):")?;
    let raised = lines[begin + 1..].iter().map(|line| line.trim_end()).find(|line| is_exception(line))?;
    let place = lines[begin..].iter().rev().map(|line| line.trim()).find_map(|line| {
        let rest = line.strip_prefix("File \"/app/")?;
        let (file, rest) = rest.split_once("\", line ")?;
        Some(format!("{file}:{}", rest.chars().take_while(char::is_ascii_digit).collect::<String>()))
    });
    let said: String = raised.chars().take(240).collect();
    Some(Explanation::new(
        "exception",
        format!("{}{said}", place.map(|place| format!("{place}: ")).unwrap_or_default()),
        String::new(),
        "The log has the whole traceback.",
    ))
}

/// `ValueError`, `ValueError: text`, `package.module.SomeError: text`, with nothing before it.
fn is_exception(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && last.starts_with(|c: char| c.is_ascii_uppercase())
        && (line.len() == name.len() || line[name.len()..].starts_with(": "))
}

/// The last exception's line when it speaks of a variable that is missing.
pub(super) fn speaks_of_a_variable(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| is_exception(line.trim_end()))?;
    let low = line.to_ascii_lowercase();
    [
        "environment",
        "env var",
        "not set",
        "must be set",
        "missing",
        "is required",
        "not configured",
        "not found",
        "please set",
        "variable",
    ]
    .iter()
    .any(|sign| low.contains(sign))
    .then_some(line)
}

#[cfg(test)]
mod tests {
    use super::super::start_failure;

    #[test]
    fn variables_that_settings_classes_miss() {
        let two = "  File \"/opt/venv/lib/python3.11/site-packages/pydantic_settings/main.py\", line 292, in __init__\n\
                   pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings\nPOSTGRES_SERVER\n  Field required \
                   [type=missing, input_value={}, input_type=dict]\n    For further information visit https://e.example/v/missing\n\
                   secret_key\n  Field required [type=missing, input_value={}, input_type=dict]\n";
        let one = "  File \"pydantic/env_settings.py\", line 40, in pydantic.env_settings.BaseSettings.__init__\n\
                   pydantic.error_wrappers.ValidationError: 1 validation error for Settings\ndatabase_url\n  field required \
                   (type=value_error.missing)\n";
        let found = start_failure(two, &[], 1).unwrap();
        assert_eq!(found.title, "The variables POSTGRES_SERVER, SECRET_KEY are not set");
        assert!(found.fix.contains("set POSTGRES_SERVER=… SECRET_KEY=…`"), "{found:?}");
        assert_eq!(start_failure(one, &[], 1).unwrap().title, "The variable DATABASE_URL is not set");
    }

    #[test]
    fn exceptions_that_speak_of_a_variable() {
        for line in [
            "openai.OpenAIError: The api_key client option must be set either by passing api_key or by setting the OPENAI_API_KEY environment variable",
            "ValueError: OPENAI_API_KEY is not set",
            "RuntimeError: missing OPENAI_API_KEY",
        ] {
            let log = format!("Traceback (most recent call last):\n  File \"/app/app.py\", line 3, in <module>\n{line}\n");
            assert_eq!(start_failure(&log, &[], 1).unwrap().title, "The variable OPENAI_API_KEY is not set", "{line}");
        }
    }

    #[test]
    fn any_other_exception_is_told_with_its_place() {
        let log = "Traceback (most recent call last):\n  File \"/app/web/app.py\", line 7, in <module>\n    load()\n  File \
                   \"/usr/lib/python3.11/x.py\", line 2, in load\n    raise RuntimeError('boom')\nRuntimeError: boom\nbye\n";
        assert_eq!(start_failure(log, &[], 1).unwrap().title, "web/app.py:7: RuntimeError: boom");
        assert_eq!(start_failure("no traceback\nRuntimeError: boom\n", &[], 1), None);
        let inner = "Traceback (most recent call last):\nKeyError: 'a'\n\nDuring handling of the above exception, another exception \
                     occurred:\n\nTraceback (most recent call last):\n  File \"/app/b.py\", line 1, in f\nmod.Broken\n";
        assert_eq!(start_failure(inner, &[], 1).unwrap().title, "b.py:1: mod.Broken");
    }
}
