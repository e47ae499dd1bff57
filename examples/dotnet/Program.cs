var app = WebApplication.CreateBuilder(args).Build();
app.MapGet("/", (IConfiguration settings) => $"Hello from {settings["Greeting:From"]}");
app.Run();
