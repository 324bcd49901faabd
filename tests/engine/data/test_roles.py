"""Roles: what is no feature, and what decides the split."""

from __future__ import annotations

import datetime as dt
import random

from coldstart.data.profiling._draft import format_entry
from coldstart.data.profiling._profiles import TableProfile
from engine.data.test_leaks import studied

RNG = random.Random(0)


def base(**more: object) -> dict[str, object]:
    x = [RNG.gauss(0, 1) for _ in range(200)]
    y = [str(round(a + RNG.gauss(0, 1), 3)) for a in x]
    return {**more, "x": [f"{a:.3f}" for a in x], "y": y}


def role(found: TableProfile, name: str) -> str:
    return found.profiles[name].role


def test_row_numbers_and_unique_codes_are_identifiers() -> None:
    uuid = [f"{RNG.getrandbits(128):032x}" for _ in range(200)]
    ticket = [f"T{i:06}" for i in RNG.sample(range(10**6), 200)]
    numbers = [str(i) for i in RNG.sample(range(10**6), 200)]
    found = studied(
        base(**{"Unnamed: 0": [str(i) for i in range(200)], "u": uuid, "code": ticket,
                "order_id": numbers, "salary": RNG.sample(numbers, 200)})
    )  # fmt: skip
    for name in ("Unnamed: 0", "u", "code", "order_id"):
        assert role(found, name) == "id", name
        assert found.profiles[name].settings["reason"]
    assert role(found, "salary") == "feature"


def test_what_identifies_a_person_is_left_out() -> None:
    given = ["James", "Mary", "Anna", "Peter", "Susan", "Karen", "Mark", "Linda", "Paul", "Laura"]
    names = [f"{RNG.choice(given)} {chr(65 + i % 26)}{'abcdefgh'[i % 8]}son" for i in range(200)]
    found = studied(
        base(
            name=names,
            mail=[f"user{i}@example.org" for i in range(200)],
            phone=[f"555 {RNG.randint(100, 999)} {RNG.randint(1000, 9999)}" for _ in range(200)],
            address=[f"{RNG.randint(1, 99)} {RNG.choice(given)} Street" for _ in range(200)],
            ssn=[f"{RNG.randint(100, 999)}-{RNG.randint(10, 99)}-{i:04}" for i in range(200)],
            client=[f"10.0.{RNG.randint(0, 255)}.{RNG.randint(0, 255)}" for _ in range(200)],
            species=[RNG.choice(["cat", "dog", "cow"]) for _ in range(200)],
        )
    )
    for name in ("name", "mail", "phone", "address", "ssn", "client"):
        assert role(found, name) == "ignore", name
        assert "identifies a person" in found.profiles[name].settings["reason"]
        assert found.profiles[name].settings["personal"]
    assert role(found, "species") == "feature"


def test_names_in_several_columns_and_of_organizations_are_left_out() -> None:
    given = ["Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hans", "Ida", "Jan"]
    family = ["Schmidt", "Novak", "Rossi", "Dubois", "Silva", "Nagy", "Larsen", "Costa", "Weber"]
    words = ["Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark", "Wayne", "Tyrell", "Wonka"]
    firms = [f"{RNG.choice(words)} {RNG.choice(words)} {RNG.choice(words)}" for _ in range(200)]
    found = studied(
        base(
            first_name=[RNG.choice(given) for _ in range(200)],
            **{"Last name": [RNG.choice(family) for _ in range(200)]},
            contact=[f"{RNG.choice(family).upper()} {RNG.choice(given)}" for _ in range(200)],
            company=firms,
            counterpart=[f"{firm} {RNG.choice(['GmbH', 'Ltd.', 'S.A.'])}" for firm in firms],
            brand=[RNG.choice(words) for _ in range(200)],  # few, with many rows of each
            seller=[RNG.choice(["north", "south"]) for _ in range(200)],
        )
    )
    for name in ("first_name", "Last name", "contact"):
        assert "identifies a person" in found.profiles[name].settings["reason"], name
    for name in ("company", "counterpart"):
        assert role(found, name) == "ignore"
        assert "Names of organizations" in found.profiles[name].settings["reason"], name
    assert [role(found, name) for name in ("brand", "seller")] == ["feature", "feature"]


def test_names_of_persons_are_not_written_into_the_schema() -> None:
    """Few names would be listed as categories, in a file that git keeps."""
    given = ["James", "Mary", "Anna", "Peter", "Susan", "Karen", "Mark", "Linda", "Paul", "Laura"]
    table = base(customer_firstname=[given[i % 10] for i in range(190)] + ["Tom", "Jane"] * 5)
    profile = studied(table).profiles["customer_firstname"]
    assert "identifies a person" in profile.settings["reason"]
    assert not any(name in format_entry(profile) for name in given)


def test_patients_that_repeat_make_a_group_split() -> None:
    found = studied(base(patient_id=[f"P{i // 4}" for i in range(200)]))
    assert role(found, "patient_id") == "group"
    assert "same part" in found.split


def test_a_key_within_which_the_target_is_the_same_makes_a_group_split() -> None:
    table = base(vessel=[f"V{i // 4}" for i in range(200)])
    table["y"] = [f"{(i // 4) * 7 % 50}.5" for i in range(200)]
    assert role(studied(table), "vessel") == "group"


def test_a_quantity_that_the_target_follows_from_is_no_key() -> None:
    table = base(drinks=[str(i // 4) for i in range(200)])
    table["y"] = [f"{(i // 4) ** 0.5:.2f}" for i in range(200)]
    assert role(studied(table), "drinks") != "group"


def test_stores_and_regions_that_repeat_are_features() -> None:
    found = studied(base(store_id=[f"S{RNG.randint(0, 20)}" for _ in range(200)]))
    assert role(found, "store_id") == "feature"


def irregular(rows: int = 200) -> list[str]:
    start = dt.datetime(2020, 1, 1)
    hours = sorted(RNG.randint(0, 20_000) for _ in range(rows))
    return [str(start + dt.timedelta(hours=one)) for one in hours]


def test_the_date_of_the_event_splits_by_time_and_a_birthday_does_not() -> None:
    born = [f"{RNG.randint(1930, 2000)}-0{RNG.randint(1, 9)}-11" for _ in range(200)]
    found = studied(base(birth_date=born, order_date=irregular(), due_date=irregular()))
    assert role(found, "order_date") == "time"
    assert found.profiles["order_date"].settings["calendar"] is True
    assert role(found, "birth_date") == "feature"
    assert role(found, "due_date") == "feature"
    assert not any("lag_of" in one.settings for one in found.profiles.values())


def test_an_entity_goes_before_time() -> None:
    found = studied(base(customer_id=[f"C{i % 40}" for i in range(200)], date=irregular()))
    assert role(found, "customer_id") == "group"
    assert role(found, "date") == "feature"


def test_a_date_after_the_event_is_left_out() -> None:
    start = irregular()
    dates = [dt.datetime.fromisoformat(one) + dt.timedelta(days=RNG.randint(1, 9)) for one in start]
    found = studied(base(opened_date=start, closed_date=[str(one) for one in dates]))
    assert role(found, "opened_date") == "time"
    assert role(found, "closed_date") == "ignore"
    assert "closed_date" in [leak.column for leak in found.findings.leaks]


def months(rows: int = 96) -> list[str]:
    return [f"{2000 + i // 12}-{i % 12 + 1:02}-01" for i in range(rows)]


def sales(rows: int = 96) -> list[str]:
    return [f"{100 + i + 30 * ((i % 12) in (5, 6, 7)) + RNG.gauss(0, 3):.2f}" for i in range(rows)]


def test_a_regular_series_is_forecast_from_lags() -> None:
    temperature = [f"{RNG.gauss(0, 1):.3f}" for _ in range(96)]
    found = studied({"month": months(), "temperature": temperature, "y": sales()})
    assert role(found, "month") == "time"
    assert found.profiles["y"].settings["season"] == 12
    lags = {
        (one.settings["lag_of"], one.settings["steps"])
        for one in found.profiles.values()
        if "lag_of" in one.settings
    }
    assert {("y", 1), ("y", 12), ("temperature", 1)} <= lags
    assert role(found, "temperature") == "ignore"
    assert "Not known when" in found.profiles["temperature"].settings["reason"]


def test_series_side_by_side_keep_their_own_lags() -> None:
    found = studied(
        {"date": [d for d in months() for _ in range(3)], "shop": ["a", "b", "c"] * 96,
         "y": [f"{float(v) * (s + 1):.2f}" for v in sales() for s in range(3)]}
    )  # fmt: skip
    assert role(found, "shop") == "series"


def test_years_decimal_years_and_year_with_quarter_are_times() -> None:
    walk = [0.0]
    for _ in range(119):
        walk.append(walk[-1] + RNG.gauss(0, 1))
    y = [f"{value:.3f}" for value in walk]
    yearly = studied({"year": [str(1900 + i) for i in range(120)], "y": y})
    assert yearly.profiles["year"].settings["format"] == "%Y"
    decimal = studied({"time": [f"{1949 + i / 12:.3f}" for i in range(120)], "y": y})
    assert decimal.profiles["time"].settings["format"] == "year"
    assert decimal.profiles["time"].values.dt.month().to_list()[:14] == [*range(1, 13), 1, 2]
    quarters = {"year": [str(1990 + i // 4) for i in range(120)],
                "quarter": [str(i % 4 + 1) for i in range(120)], "y": y}  # fmt: skip
    found = studied(quarters)
    assert role(found, "year") == "time"
    assert role(found, "quarter") == "feature"


def test_rows_about_what_has_one_name_stay_together() -> None:
    storms = [f"{chr(65 + i // 8)}my" for i in range(200)]
    assert role(studied(base(name=storms)), "name") == "group"
    assert role(studied(base(name=[f"{i % 4}my" for i in range(200)])), "name") == "feature"


def test_a_shop_closed_on_sundays_has_weeks_of_six_days() -> None:
    days = [dt.date(2022, 1, 3) + dt.timedelta(i) for i in range(400)]
    days = [day for day in days if day.weekday() != 6]
    sold = [100 + 20 * day.weekday() ** 2 + RNG.gauss(0, 9) for day in days]
    found = studied(
        {"date": [day.isoformat() for day in days], "y": [f"{one:.1f}" for one in sold]}
    )
    assert role(found, "date") == "time"
    assert found.profiles["y"].settings["season"] == 6


def test_categories_that_differ_in_case_are_a_warning() -> None:
    found = studied(base(kind=["Cafe", "cafe", "<=50", ">50", "-"] * 40))
    assert found.profiles["kind"].warnings == [
        "'Cafe' and 'cafe' are different categories: are they the same?"
    ]


def test_noise_at_regular_times_is_no_forecasting() -> None:
    noise = [f"{RNG.gauss(0, 1):.3f}" for _ in range(96)]
    found = studied({"month": months(), "x": list(reversed(noise)), "y": noise})
    assert "season" not in found.profiles["y"].settings
    assert role(found, "x") == "feature"


def test_of_two_columns_that_say_the_same_one_is_kept() -> None:
    code = [RNG.choice("abcdef") for _ in range(200)]
    names = {"a": "Alpha", "b": "Beta", "c": "Gamma", "d": "Delta", "e": "Epsilon", "f": "Zeta"}
    celsius = [RNG.gauss(10, 5) for _ in range(200)]
    found = studied(
        base(code=code, label=[names[c] for c in code], celsius=[f"{c:.6f}" for c in celsius],
             fahrenheit=[f"{c * 1.8 + 32:.6f}" for c in celsius])
    )  # fmt: skip
    assert (role(found, "code"), role(found, "label")) == ("feature", "ignore")
    assert (role(found, "celsius"), role(found, "fahrenheit")) == ("feature", "ignore")
    assert found.profiles["label"].settings["reason"] == "Says the same as code."


def test_texts_that_are_longer_than_a_category_may_be_are_words_unless_they_are_listed() -> None:
    for count, kind in ((20, "category"), (35, "text")):
        texts = [f"{number} {'x' * 1100 * (number == 1)}" for number in range(count)]
        found = studied(base(note=[texts[number % count] for number in range(200)]))
        assert found.profiles["note"].type == kind


def test_a_row_number_stays_if_there_is_nothing_else() -> None:
    y = [f"{i * 0.5 + RNG.random():.2f}" for i in range(50)]
    found = studied({"n": [str(i) for i in range(50)], "y": y})
    assert role(found, "n") == "feature"
    assert "is the only feature left" in " ".join(found.warnings)


def test_of_dates_some_hours_apart_both_are_features_and_of_shifted_ones_the_first() -> None:
    moments = [
        dt.datetime(2024, 1, 1) + dt.timedelta(hours=RNG.uniform(0, 8000)) for _ in range(200)
    ]
    later = [one + dt.timedelta(minutes=RNG.randint(30, 400)) for one in moments]
    shifted = [one + dt.timedelta(hours=3) for one in moments]
    found = studied(
        base(
            ordered=[f"{one:%Y-%m-%d %H:%M}" for one in moments],
            packed=[f"{one:%Y-%m-%d %H:%M}" for one in later],
            local=[f"{one:%Y-%m-%d %H:%M}" for one in shifted],
        )
    )
    assert role(found, "packed") in ("feature", "time")
    assert "on another scale" not in found.profiles["packed"].settings.get("reason", "")
    assert "Says the same as ordered" in found.profiles["local"].settings["reason"]
