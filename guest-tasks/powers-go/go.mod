module powers-go

go 1.24
