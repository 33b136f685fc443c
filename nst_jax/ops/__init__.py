"""What layers compute: functions of arrays that know no network."""
