# requires: tzdata
import zoneinfo

zoneinfo.reset_tzpath([])  # what the system has is not what is asked for
assert zoneinfo.ZoneInfo("Europe/Berlin").key in zoneinfo.available_timezones()
assert len(zoneinfo.available_timezones()) > 400
